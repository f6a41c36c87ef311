// The API, with the cookie of who signed in. Errors are those of the API, in words.
export class ApiRefused extends Error {
  constructor(status, detail, code) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

async function answered(response) {
  if (response.status === 401) location.assign(`/console/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    const first = body.errors?.[0];
    throw new ApiRefused(response.status, first?.detail ?? first?.title ?? response.statusText, first?.code);
  }
  return body;
}

export async function get(path) {
  return answered(await fetch(`/console/api${path}`));
}

export async function post(path, body) {
  return answered(
    await fetch(`/console/api${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-offhook-console": "1" },
      body: JSON.stringify(body ?? {}),
    }),
  );
}

// Server-sent records of /sessions/stream or of one session; resumes by itself.
export function follow(path, { onRecord, onState }) {
  const source = new EventSource(`/console/api${path}`);
  source.addEventListener("open", () => onState?.("live"));
  source.addEventListener("error", () => onState?.("lost"));
  source.addEventListener("record", (event) => onRecord(JSON.parse(event.data), event.lastEventId));
  return () => source.close();
}
