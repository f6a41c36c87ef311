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

const REOPEN_MS = 3000;

// Server-sent records of /sessions/stream or of one session; resumes by itself.
export function follow(path, { onRecord, onState }) {
  const url = new URL(`/console/api${path}`, location.origin);
  let source;
  let timer;
  function open() {
    source = new EventSource(url);
    source.addEventListener("open", () => onState?.("live"));
    source.addEventListener("error", () => {
      onState?.("lost");
      // It gives up if the answer is an error, such as 503 while Postgres is away.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, REOPEN_MS);
    });
    source.addEventListener("record", (event) => {
      url.searchParams.set("last_event_id", event.lastEventId);
      onRecord(JSON.parse(event.data), event.lastEventId);
    });
  }
  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
