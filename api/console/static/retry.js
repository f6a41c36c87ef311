// The retry buttons of parked sessions. The rows are replaced all the time, so the table listens.
import { post } from "./api.js";
import { refresh } from "./refreshed.js";

const outcome = document.getElementById("outcome");

function inWords({ session_id, flow, views, error }) {
  const parts = [];
  if (flow === "decided") parts.push("its flow has decided");
  if (flow === "parked_again") parts.push("parked again");
  if (flow === "not_decided") parts.push("resumed");
  if (views === "rebuilt") parts.push("its views are rebuilt");
  if (views === "failed") parts.push("its views cannot be rebuilt");
  return `${session_id}: ${parts.join(", ")}${error ? `: ${error}` : ""}`;
}

function say(text, isGood) {
  outcome.className = isGood ? "done" : "error";
  outcome.textContent = text;
}

document.getElementById("parked").addEventListener("click", async (event) => {
  const session = event.target.closest("[data-retry]")?.dataset.retry;
  if (!session) return;
  event.target.disabled = true;
  outcome.className = "hint";
  outcome.textContent = `${session}: retrying`;
  try {
    const { data } = await post(`/parked/${encodeURIComponent(session)}/retry`);
    say(inWords(data), !data.error);
  } catch (error) {
    say(`${session}: ${error.message}`, false);
  }
  await refresh().catch(() => {});
});
