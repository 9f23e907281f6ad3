// Values as people read them, in the browser's language and time zone.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

export function shortTime(text) {
  const moment = new Date(text);
  const now = new Date();
  if (moment.toDateString() === now.toDateString()) return clock.format(moment);
  return (moment.getFullYear() === now.getFullYear() ? day : date).format(moment);
}

export function longTime(text) {
  const moment = new Date(text);
  const now = new Date();
  if (moment.toDateString() === now.toDateString()) return `Today, ${clock.format(moment)}`;
  return `${(moment.getFullYear() === now.getFullYear() ? day : date).format(moment)}, ${clock.format(moment)}`;
}

export const exactTime = (text) => exact.format(new Date(text));

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

/** Characters that turn the writing round: in a name they would turn the address behind it, too. */
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;

export const nameOf = (person) => person.name.replace(TURNING, "") || person.address || "Unknown sender";

export function initials(person) {
  const words = nameOf(person).split("@")[0].split(/[\s._-]+/).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const letters = words.map((word) => [...word].find((letter) => /[\p{L}\p{N}]/u.test(letter)));
  return (letters.length > 1 ? letters[0] + letters.at(-1) : letters[0] ?? "?").toUpperCase();
}

/** One of eight tones that stays with an address. */
export function tone(address) {
  let sum = 0;
  for (const letter of address.toLowerCase()) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return sum % 8;
}

/** A text without the mark by which an answer to ours is known. */
export const withoutMark = (text) => text.replace(/\s*\[ref:\d+:[a-z0-9]*\]?\s*$/, "").trim();

export function people(list) {
  return list.map((person) => (person.name ? `${nameOf(person)} <${person.address}>` : person.address)).join(", ");
}
