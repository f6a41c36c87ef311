// The dialog that asks before legs are hung up; its markup is hang_up.html.
import { post } from "./api.js";

const dialog = document.getElementById("hangup");
const outcome = document.getElementById("hangup-outcome");
const yes = document.getElementById("hangup-yes");
const no = document.getElementById("hangup-no");
let asked = null;

// `call` says in words what these legs are.
export function askToHangUp(call, legs) {
  // The ids are those of this dialog, so that whatever is sent twice has one effect.
  asked = legs.map((leg) => ({ leg, commandId: `console-${randomHex()}` }));
  document.getElementById("hangup-call").textContent = call;
  outcome.textContent = "";
  yes.hidden = yes.disabled = false;
  no.textContent = "Cancel";
  dialog.showModal();
  no.focus();
}

no.addEventListener("click", () => dialog.close());

yes.addEventListener("click", async () => {
  yes.disabled = true;
  outcome.textContent = "Hanging up …";
  const failures = [];
  for (const { leg, commandId } of asked) {
    try {
      await post(`/v2/calls/${encodeURIComponent(leg)}/actions/hangup`, { command_id: commandId });
    } catch (error) {
      if (error.code !== ALREADY_ENDED) failures.push(error.message);
    }
  }
  outcome.textContent = failures.length ? `Not hung up: ${failures.join("; ")}` : `${dialog.dataset.what} is hung up.`;
  yes.disabled = false;
  yes.hidden = !failures.length;
  no.textContent = "Close";
  no.focus();
});

// One leg's hangup may end the others before they are asked to.
const ALREADY_ENDED = "90018";

function randomHex() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
