// The reply box: text, cc, files with their progress. A draft stays until it is sent, also over a reload or a new log-in.

import { call, upload } from "./api.js";
import { h, icon } from "./dom.js";
import { size } from "./format.js";

const FILES = 10;
const BYTES = 25 * 1024 * 1024;
const drafts = new Map();

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function draftOf(ticketId) {
  if (!drafts.has(ticketId)) {
    const kept = JSON.parse(sessionStorage.getItem(`draft-${ticketId}`) ?? "null");
    const files = (kept?.files ?? []).map((file) => ({ ...file, share: 1, error: "", abort: () => {} }));
    drafts.set(ticketId, { text: kept?.text ?? "", cc: kept?.cc ?? "", key: kept?.key ?? newKey(), files });
  }
  return drafts.get(ticketId);
}

export const hasDraft = (ticketId) => draftOf(ticketId).text.trim() !== "";

export class Composer {
  /** hooks: {sent()} */
  constructor(ticket, hooks) {
    this.ticket = ticket;
    this.hooks = hooks;
    this.draft = draftOf(ticket.id);
    this.text = h("textarea", { id: "reply-text", rows: 4, dir: "auto", placeholder: "Write a reply …", "aria-label": "Reply", oninput: () => this.#keep() });
    this.text.value = this.draft.text;
    this.cc = h("input", { type: "text", id: "reply-cc", placeholder: "name@example.com, …", "aria-label": "Cc", oninput: () => this.#keep(), autocomplete: "off" });
    this.cc.value = this.draft.cc;
    this.ccRow = h("div", { class: "cc", hidden: !this.draft.cc }, h("label", { for: "reply-cc" }, "Cc"), this.cc);
    this.to = h("p", { class: "to" });
    this.picker = h("input", { type: "file", multiple: true, class: "hidden", tabindex: "-1", "aria-label": "Attach files", onchange: () => { this.add(this.picker.files); this.picker.value = ""; } });
    this.files = h("ul", { class: "files uploads", "aria-label": "Files of the reply" });
    this.error = h("p", { class: "error", role: "alert" });
    this.button = h("button", { class: "primary", type: "submit", title: "Ctrl + Enter" }, icon("send"), "Send");
    this.element = h("form", {
      class: "composer", "aria-label": "Reply",
      onsubmit: (event) => { event.preventDefault(); this.send(); },
      onkeydown: (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); this.send(); }
        if (event.key === "Escape") document.activeElement.blur();
      },
      ondragover: (event) => { event.preventDefault(); this.element.classList.add("dropping"); },
      ondragleave: () => this.element.classList.remove("dropping"),
      ondrop: (event) => { event.preventDefault(); this.element.classList.remove("dropping"); this.add(event.dataTransfer.files); },
      onpaste: (event) => { if (event.clipboardData.files.length) { event.preventDefault(); this.add(event.clipboardData.files); } },
    },
      this.to, this.ccRow, this.text, this.files, this.error,
      h("div", { class: "composer-foot" }, this.button,
        h("button", { type: "button", onclick: () => this.picker.click() }, icon("clip"), "Attach"), this.picker,
        h("span", { class: "hint wide" }, "Ctrl + Enter sends")));
    this.goesTo(ticket);
    this.#drawFiles();
    this.#grow();
  }

  /** Says whom a reply goes to as the ticket stands now: Reply-To is the stranger's to fill. */
  goesTo(ticket) {
    const people = ticket.answered_to;
    this.to.replaceChildren(people.length ? "To " : h("strong", {}, "To nobody yet: name the customer "), ...people.flatMap((one) => [
      h("strong", {}, one.name || one.address), " ", h("span", { class: "address" }, one.name ? one.address : ""), " "]),
      elsewhere(ticket), requesterIs(ticket),
      h("button", { type: "button", class: "quiet small", onclick: () => { this.ccRow.hidden = false; this.cc.focus(); } }, "Cc"));
  }

  focus() {
    this.text.focus();
  }

  add(files) {
    if (this.button.disabled) return;
    this.error.textContent = "";
    for (const file of files) {
      const waiting = this.draft.files.reduce((sum, one) => sum + one.size, 0);
      if (this.draft.files.length >= FILES) return this.#say(`A message carries ${FILES} files at most.`);
      if (!file.size) { this.#say(`${file.name} is empty.`); continue; }
      if (waiting + file.size > BYTES) { this.#say(`${file.name} does not fit: a message carries 25 MB at most.`); continue; }
      const entry = { name: file.name, size: file.size, share: 0, id: null, error: "" };
      const { done, abort } = upload(file, (share) => { entry.share = share; this.#progress(entry); });
      entry.abort = abort;
      entry.done = done.then(
        ({ id }) => { entry.id = id; this.#remember(); this.#drawFiles(); },
        (problem) => { entry.error = problem.message; this.#drawFiles(); });
      this.draft.files.push(entry);
      this.#changed();
    }
    this.#drawFiles();
  }

  async send() {
    if (this.button.disabled) return;
    if (!this.text.value.trim()) return this.#say("Write something first.");
    if (this.draft.files.some((file) => file.error)) return this.#say("Remove the files that were not uploaded, or add them again.");
    this.#hold(true);
    this.error.textContent = "";
    try {
      await Promise.all(this.draft.files.map((file) => file.done));
      if (this.draft.files.some((file) => file.error)) return this.#say("Not every file was uploaded.");
      const cc = this.cc.value.split(/[,;]/).map((one) => one.trim()).filter(Boolean);
      const body = { body_text: this.text.value, cc, attachment_ids: this.draft.files.map((file) => file.id) };
      // The key stays with the draft: when the answer got lost, another click sends nothing twice.
      await call("POST", `/tickets/${this.ticket.id}/replies`, body, { "Idempotency-Key": this.draft.key });
      drafts.delete(this.ticket.id);
      sessionStorage.removeItem(`draft-${this.ticket.id}`);
      this.draft = draftOf(this.ticket.id);
      this.text.value = this.cc.value = "";
      this.ccRow.hidden = true;
      this.#drawFiles();
      this.#grow();
      await this.hooks.sent();
    } catch (problem) {
      this.#say(problem.message);
    } finally {
      this.#hold(false);
    }
  }

  /** While a reply is on its way it stays as it is: what was typed meanwhile would go when the box is emptied. */
  #hold(isSending) {
    this.button.disabled = this.text.readOnly = this.cc.readOnly = isSending;
  }

  #say(text) {
    this.error.textContent = text;
  }

  #keep() {
    this.draft.text = this.text.value;
    this.draft.cc = this.cc.value;
    this.#changed();
    this.#grow();
  }

  /** Another text is another reply. */
  #changed() {
    this.draft.key = newKey();
    this.#remember();
  }

  #remember() {
    const { text, cc, key } = this.draft;
    const files = this.draft.files.filter((file) => file.id).map(({ id, name, size }) => ({ id, name, size }));
    if (drafts.get(this.ticket.id) === this.draft) sessionStorage.setItem(`draft-${this.ticket.id}`, JSON.stringify({ text, cc, key, files }));
  }

  #grow() {
    this.text.style.height = "auto";
    if (this.text.scrollHeight) this.text.style.height = `${Math.min(this.text.scrollHeight + 2, 420)}px`;
  }

  #progress(entry) {
    const bar = this.files.querySelector(`[data-name="${CSS.escape(entry.name)}"] progress`);
    if (bar) bar.value = entry.share;
  }

  #drawFiles() {
    this.files.replaceChildren(...this.draft.files.map((entry) => h("li", { class: "file", "data-name": entry.name },
      icon("file"), h("span", { class: "file-name" }, entry.name), h("span", { class: "muted" }, size(entry.size)),
      entry.error ? h("span", { class: "error" }, entry.error)
        : entry.id ? h("span", { class: "uploaded" }, icon("check"), h("span", { class: "hidden" }, "uploaded"))
          : h("progress", { max: 1, value: entry.share, "aria-label": `Upload of ${entry.name}` }),
      h("button", {
        type: "button", class: "quiet small", "aria-label": `Remove ${entry.name}`,
        onclick: () => { if (this.button.disabled) return; entry.abort(); this.draft.files = this.draft.files.filter((one) => one !== entry); this.#changed(); this.#drawFiles(); },
      }, icon("close")))));
  }
}

const BY = {
  reply_to: "named in Reply-To",
  original_from: "named by the list",
  list_cc: "named by the list",
  return_path: "whom the mail goes back to",
  form: "named in a form: unproven",
  "forward.inline": "named in a forward: unproven",
  "forward.attached": "named in an attached mail: unproven",
};

/** A warning where that is none that the customer wrote from. */
function elsewhere(ticket) {
  const writes = ticket.requester.address.toLowerCase();
  if (ticket.answered_to.every((one) => one.address.toLowerCase() === writes)) return "";
  return h("span", { class: "badge pending", role: "note" }, `not to ${ticket.requester.address}`);
}

/** Why the customer is somebody else than who is in From; nothing when he is not. */
function requesterIs(ticket) {
  const [rule, name] = ticket.requester_rule.split(/^(mail_rule)\./).filter(Boolean);
  const said = BY[ticket.requester_rule] ?? (rule === "mail_rule" && `named in Reply-To, by the mail rule ${name}`);
  if (!said) return "";
  const why = ticket.requester_evidence.map((one) => `${one.where}: ${one.value}`).join("\n");
  return h("span", { class: "address", title: why }, `(${said})`);
}
