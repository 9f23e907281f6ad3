// The console's buttons: asked once more, done by one request that only this origin can make, and what came of it said in words.

const said = document.querySelector("#said");

// Airflow keeps the reader's choice there; a page without one follows the system.
const theme = localStorage.getItem("theme");
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
addEventListener("storage", (event) => {
  if (event.key === "theme" && event.newValue) document.documentElement.dataset.theme = event.newValue;
});

// Airflow's frame may not move the window around it. It is of the same origin, so the window moves itself.
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[target="_top"], a[target="_blank"]');
  if (!link || window.top === window || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const twin = window.top.document.createElement("a");
  Object.assign(twin, { href: link.href, target: link.target === "_blank" ? "_blank" : "_self", rel: "noopener" });
  window.top.document.body.append(twin);
  twin.click();
  twin.remove();
});

function confirmed(question) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    const text = document.createElement("p");
    const form = document.createElement("form");
    const [no, yes] = ["Cancel", "Do it"].map((label) => Object.assign(document.createElement("button"), { textContent: label, value: label }));
    text.id = "question";
    text.textContent = question;
    form.method = "dialog";
    form.append(no, yes);
    dialog.setAttribute("aria-labelledby", "question");
    dialog.append(text, form);
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "Do it"); });
    document.body.append(dialog);
    dialog.showModal();
    yes.focus();
  });
}

// What the fields say that belong to a button, "name=id name=id", or null where one is not filled in well.
function told(fields) {
  const pairs = (fields ?? "").split(" ").filter(Boolean).map((pair) => pair.split("="));
  const found = pairs.map(([name, id]) => [name, document.getElementById(id)]);
  return found.every(([, field]) => field.reportValidity()) ? Object.fromEntries(found.map(([name, field]) => [name, field.value])) : null;
}

const number = (text) => (text ? Number(text) : null);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-action]");
  if (!button) return;
  const filled = told(button.dataset.fields);
  if (filled === null || !(await confirmed(button.dataset.ask))) return;
  button.disabled = true;
  said.textContent = "…";
  try {
    const answer = await fetch(`act?${new URLSearchParams({ dag_id: button.dataset.dag })}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-InboxOps-Console": "1" },
      body: JSON.stringify({ action: button.dataset.action, inbound_id: number(button.dataset.inbound), days: number(button.dataset.days), replay_id: number(button.dataset.replay), group: button.dataset.group ?? null, ...filled }),
    });
    const came = await answer.json();
    said.textContent = came.said ?? came.detail ?? `Airflow answered ${answer.status}.`;
    if (answer.ok && ["pause", "resume", "release", "reparse", "replay", "replay_apply", "replay_undo", "resync"].includes(button.dataset.action)) setTimeout(() => location.reload(), 1500);
  } catch {
    said.textContent = "Airflow can’t be reached. Try again.";
  }
  button.disabled = false;
});
