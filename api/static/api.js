// The API as the page uses it. An error is a Problem with the sentence that the API says; 401 ends the session.

class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const session = new EventTarget();

export async function call(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(`/v1${path}`, {
      method,
      headers: { Accept: "application/json", ...(body ? { "Content-Type": "application/json" } : {}), ...headers },
      body: body && JSON.stringify(body),
    });
  } catch {
    throw new Problem(0, "The server can’t be reached. Check the connection and try again.");
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  throw problem(answer.status, await answer.text());
}

export const get = (path) => call("GET", path);

/** The query string of what is set. */
export function query(values) {
  const set = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return set.length ? `?${new URLSearchParams(set)}` : "";
}

/** Upload a file; `onprogress` hears the share from 0 to 1. Returns {done: promise of {id}, abort}. */
export function upload(file, onprogress) {
  const request = new XMLHttpRequest();
  const form = new FormData();
  form.append("file", file);
  const done = new Promise((resolve, reject) => {
    request.upload.addEventListener("progress", (event) => event.lengthComputable && onprogress(event.loaded / event.total));
    request.addEventListener("load", () => {
      if (request.status === 201) resolve(JSON.parse(request.responseText));
      else reject(problem(request.status, request.responseText));
    });
    request.addEventListener("error", () => reject(new Problem(0, "The upload broke off.")));
    request.addEventListener("abort", () => reject(new Problem(0, "The upload was stopped.")));
  });
  request.open("POST", "/v1/attachments");
  request.setRequestHeader("Accept", "application/json");
  request.send(form);
  return { done, abort: () => request.abort() };
}

function problem(status, text) {
  if (status === 401) session.dispatchEvent(new Event("ended"));
  let said = "";
  try {
    said = JSON.parse(text).detail ?? "";
  } catch {
    said = "";
  }
  const sentence = said || `The server answered ${status}.`;
  return new Problem(status, sentence.charAt(0).toUpperCase() + sentence.slice(1));
}
