// The page of `xbind serve`. Text from jobs is only ever set as text, never as HTML.

const $ = (id) => document.getElementById(id);
const BUSY = ["queued", "running"];
const STATES = {
  queued: "waiting", running: "running", reference: "reference view", done: "done",
  failed: "failed", cancelled: "cancelled",
};
const LABELS = {
  text: "Text", image: "Picture", mask: "Its mask", audio: "Sound", depth: "Depth map", video: "Video",
  thermal: "Thermal picture", imu: "Motion",
};
const HIDDEN_FILES = /^(inputs|previews)\/|^(mask|reference|references)\.png$|\.jsonl?$/;
const PICTURE = /\.(png|jpg|webp|gif|bmp)$/;
const SOUND = /\.(wav|flac|ogg|mp3)$/;

let jobs = new Map();
let chosen = null; // id of the job that is shown
let stream = null; // its events
let shown = null; // { id, state, view } of what the panel holds
let previews = new Map(); // name → version, of the job that is shown

function element(name, values = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(values)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function alertUser(text) {
  $("alert").textContent = text;
  $("alert").hidden = !text;
}

async function call(path, options = {}) {
  const answer = await fetch(path, options);
  if (answer.status === 401) {
    $("login").hidden = false;
    $("main").hidden = true;
  }
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw new Error(body.error ?? `The server answered ${answer.status}.`);
  }
  return answer.status === 204 ? null : answer.json();
}

function send(path, content) {
  const options = { method: "POST" };
  if (content !== undefined) {
    options.body = JSON.stringify(content);
    options.headers = { "content-type": "application/json" };
  }
  return call(path, options);
}

async function attempt(work) {
  try {
    alertUser("");
    await work();
  } catch (error) {
    alertUser(error.message);
  }
}

const size = (bytes) => bytes < 2 ** 20
  ? `${Math.ceil(bytes / 2 ** 10)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;

const fileUrl = (id, name) =>
  `/api/jobs/${id}/files/${name.split("/").map(encodeURIComponent).join("/")}`;

// The form

function fillForm(info) {
  $("about").textContent = `xbind ${info.version}, bundle ${info.bundle}.`;
  const presets = $("prompt").elements.preset;
  presets.replaceChildren(...info.presets.map((name) => new Option(name, name)));
  presets.value = "default";
  const files = Object.entries(info.modalities).filter(([, kinds]) => kinds.length);
  const others = files.filter(([name]) => name !== "image" && name !== "mask");
  const pictures = files.filter(([name]) => name === "image" || name === "mask");
  $("files").replaceChildren(
    ...[...pictures, ...others].map(([name, kinds]) =>
      element("label", { className: "row" }, element("span", {}, LABELS[name] ?? name),
        element("input", { type: "file", name, accept: kinds.map((kind) => `.${kind}`).join() }))),
  );
  $("weights").append(
    ...Object.keys(info.modalities).filter((name) => name !== "mask").map((name) =>
      element("label", { className: "row", hidden: true }, element("span", {}, LABELS[name] ?? name),
        element("input", { type: "number", name: `${name}_weight`, min: "0", step: "any", value: "1" }))),
  );
  updateWeights();
}

function given(name) {
  const field = $("prompt").elements[name];
  return field.type === "file" ? field.files.length > 0 : field.value.trim() !== "";
}

function updateWeights() {
  let count = 0;
  for (const row of $("weights").querySelectorAll("label")) {
    const input = row.querySelector("input");
    row.hidden = !given(input.name.replace("_weight", ""));
    count += row.hidden ? 0 : 1;
  }
  $("weights").hidden = count < 2;
}

function promptData() {
  const data = new FormData($("prompt"));
  for (const row of $("weights").querySelectorAll("label")) {
    if (row.hidden || $("weights").hidden) data.delete(row.querySelector("input").name);
  }
  for (const [name, value] of [...data]) {
    if (value instanceof File ? !value.name : value.trim() === "") data.delete(name);
  }
  if (!data.has("depth")) data.delete("depth_kind");
  if (!data.has("text")) data.delete("ignore_unknown");
  return data;
}

// The gallery

function card(job) {
  const picture = job.state === "done" || previewable(job)
    ? element("img", { src: fileUrl(job.id, "reference.png"), alt: "", loading: "lazy" })
    : element("span", { className: "blank" });
  picture.addEventListener("error", () => picture.replaceWith(element("span", { className: "blank" })));
  return element("button", {
    type: "button", className: "card", title: job.label, onclick: () => choose(job.id),
    "aria-pressed": String(job.id === chosen),
  }, picture, element("span", { className: "name" }, job.label),
  element("span", { className: `state ${job.state}` }, STATES[job.state]),
  element("span", { className: "note" }, `seed ${job.seed}`));
}

const previewable = (job) => Object.keys(job.understood).length > 0;

function showGallery() {
  const list = [...jobs.values()].sort((a, b) => b.submitted - a.submitted);
  $("gallery").replaceChildren(...list.map(card));
  if (!list.length) $("gallery").append(element("p", { className: "note" }, "None yet."));
}

async function refresh() {
  const [list, info] = await Promise.all([call("/api/jobs"), call("/api/info")]);
  const before = JSON.stringify([...jobs.values()]);
  jobs = new Map(list.jobs.map((job) => [job.id, job]));
  if (JSON.stringify([...jobs.values()]) !== before || !$("gallery").children.length) showGallery();
  const gib = (bytes) => (bytes / 2 ** 30).toFixed(2);
  $("disk").textContent = `${gib(info.used_bytes)} of ${gib(info.quota_bytes)} GiB used.`;
  return info;
}

// The job that is shown

function choose(id) {
  if (stream) stream.close();
  [chosen, shown, previews] = [id, null, new Map()];
  history.replaceState(null, "", `#job=${id}`);
  if (jobs.has(id)) showJob(jobs.get(id));
  follow(id);
  showGallery();
}

function follow(id) {
  stream = new EventSource(`/api/jobs/${id}/events`);
  const own = stream;
  own.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    jobs.set(job.id, job);
    showJob(job);
    showGallery();
  });
  own.addEventListener("preview", (event) => {
    const { name } = JSON.parse(event.data);
    previews.set(name, (previews.get(name) ?? 0) + 1);
    showPreviews(id);
  });
  own.addEventListener("steps", (event) => {
    const last = JSON.parse(event.data).records.at(-1);
    const terms = Object.entries(last).filter(([key]) => key !== "phase" && key !== "step");
    setText("terms", terms.map(([name, value]) => `${name} ${Number(value).toPrecision(3)}`).join("  "));
  });
  own.addEventListener("end", () => own.close());
}

function setText(name, text) {
  const found = $("job").querySelector(`[data-name=${name}]`);
  if (found) found.textContent = text;
}

function showJob(job) {
  if (job.id !== chosen) return;
  const key = `${job.id} ${job.state} ${JSON.stringify(job.understood)}`;
  if (shown !== key) {
    shown = key;
    $("job").replaceChildren(...panel(job));
    showPreviews(job.id);
    if (job.state === "done") attempt(() => showFiles(job));
  }
  const progress = job.progress;
  const bar = $("job").querySelector("progress");
  if (bar && progress) [bar.max, bar.value] = [progress.steps, progress.step];
  setText("stage", progress ? `${progress.stage}: step ${progress.step} of ${progress.steps}` : "");
}

function panel(job) {
  return [
    element("h2", { className: "title" }, element("span", { className: `state ${job.state}` }, STATES[job.state]), job.label),
    element("p", { className: "note" }, `seed ${job.seed}, preset ${job.preset}` + (job.candidate ? `, candidate ${job.candidate}` : "")
      + (Object.keys(job.prompt.weights).length > 1 ? `, weights ${Object.entries(job.prompt.weights).map((pair) => pair.join(" ")).join(", ")}` : "")),
    job.error && job.state === "failed" ? element("p", { className: "alert" }, job.error) : null,
    ...(BUSY.includes(job.state) ? [element("progress"), element("p", { className: "note", "data-name": "stage" }), element("p", { className: "note", "data-name": "terms" })] : []),
    job.state === "reference" ? element("p", {}, "Is this what you meant? Accept it to make the object, choose another of the candidates, or take another seed.") : null,
    actions(job),
    element("div", { "data-name": "mesh" }),
    element("div", { className: "pictures", "data-name": "pictures" }),
    understood(job),
    inputs(job),
    job.messages.length ? element("details", {}, element("summary", {}, "Messages"), element("p", { className: "note messages" }, job.messages.join("\n"))) : null,
  ].filter((part) => part !== null);
}

function actions(job) {
  const button = (label, work, className = "") =>
    element("button", { type: "button", className, onclick: () => attempt(work) }, label);
  const post = (action) => async () => {
    await send(`/api/jobs/${job.id}/${action}`);
    choose(job.id);
  };
  const buttons = [];
  if (job.state === "reference") buttons.push(button("Accept", post("resume"), "main"));
  if (["failed", "cancelled"].includes(job.state)) buttons.push(button("Continue", post("resume")));
  if (BUSY.includes(job.state)) buttons.push(button("Cancel", post("cancel")));
  buttons.push(button("Another seed", () => again(job)));
  if (!BUSY.includes(job.state)) buttons.push(button("Delete", () => remove(job)));
  return element("p", { className: "buttons" }, ...buttons);
}

async function again(job) {
  const used = [...jobs.values()].filter((other) => other.label === job.label).map((other) => other.seed);
  const made = await send(`/api/jobs/${job.id}/again`, { seed: Math.max(...used, job.seed) + 1, review: true });
  jobs.set(made.id, made);
  choose(made.id);
}

async function remove(job) {
  if (!confirm(`Delete “${job.label}” with its files?`)) return;
  await call(`/api/jobs/${job.id}`, { method: "DELETE" });
  if (stream) stream.close();
  chosen = shown = null;
  $("job").replaceChildren(element("p", { className: "note" }, "Choose an object below, or make one."));
  await refresh();
}

function understood(job) {
  const groups = Object.entries(job.understood).flatMap(([source, kinds]) =>
    Object.entries(kinds).map(([kind, shares]) => element("div", { className: "shares" },
      element("p", {}, element("span", { className: "state" }, source), kind),
      ...Object.entries(shares).map(([name, share]) => element("div", { className: "share" },
        element("span", {}, name), element("meter", { min: 0, max: 1, value: share }),
        element("span", {}, share.toFixed(2)))))));
  return groups.length ? element("div", {}, element("h3", {}, "Understood as"), ...groups) : null;
}

function inputs(job) {
  const parts = Object.values(job.prompt.files).map((name) => {
    const url = fileUrl(job.id, name);
    if (PICTURE.test(name)) return element("figure", {}, element("img", { src: url, alt: name, width: 160 }), element("figcaption", {}, name));
    if (SOUND.test(name)) return element("figure", {}, element("audio", { src: url, controls: true }), element("figcaption", {}, name));
    return element("p", {}, element("a", { href: `${url}?download=true` }, name));
  });
  return parts.length ? element("div", {}, element("h3", {}, "Prompt"), ...parts) : null;
}

function showPreviews(id) {
  const box = $("job").querySelector("[data-name=pictures]");
  if (!box) return;
  const latest = [...previews.keys()].filter((name) => name.startsWith("previews/")).at(-1);
  const count = jobs.get(id)?.candidates ?? 0;
  const captions = [
    ["reference.png", "reference view", "pixels"], [latest, "latest preview", ""],
    ["references.png", count ? "candidates; choose another one to make the object from it" : "candidates", ""],
  ].filter(([name]) => previews.has(name));
  box.replaceChildren(...captions.map(([name, caption, className]) =>
    element("figure", {}, element("div", { className: "sheet" },
      element("img", { src: `${fileUrl(id, name)}?v=${previews.get(name)}`, alt: caption, className }),
      name === "references.png" && count ? candidateButtons(id, count) : null),
    element("figcaption", {}, caption))));
}

// One button over each picture of the sheet, whose grid is about square.
function candidateButtons(id, count) {
  const columns = Math.ceil(Math.sqrt(count));
  const grid = element("div", { className: "candidates" });
  grid.style.gridTemplate = `repeat(${Math.ceil(count / columns)}, 1fr) / repeat(${columns}, 1fr)`;
  for (let number = 1; number <= count; number += 1) {
    grid.append(element("button", {
      type: "button", title: `candidate ${number}`, "aria-label": `candidate ${number}`,
      onclick: () => attempt(() => take(jobs.get(id), number)),
    }));
  }
  return grid;
}

async function take(job, candidate) {
  const made = await send(`/api/jobs/${job.id}/again`, { seed: job.seed, review: false, candidate });
  jobs.set(made.id, made);
  choose(made.id);
}

async function showFiles(job) {
  const { files } = await call(`/api/jobs/${job.id}/files`);
  const box = $("job").querySelector("[data-name=mesh]");
  if (job.id !== chosen || !box) return;
  const links = files.filter((file) => !HIDDEN_FILES.test(file.name)).map((file) =>
    file.name === "report.html"
      ? element("a", { href: fileUrl(job.id, file.name), target: "_blank", rel: "noopener" }, "report")
      : element("a", { href: `${fileUrl(job.id, file.name)}?download=true` }, `${file.name} (${size(file.bytes)})`));
  box.replaceChildren();
  if (files.some((file) => file.name === "mesh.glb")) {
    await import("/static/model-viewer.js");
    box.append(element("model-viewer", {
      src: fileUrl(job.id, "mesh.glb"), alt: job.label, "camera-controls": "", "auto-rotate": "",
      "interaction-prompt": "none", "touch-action": "pan-y", "tone-mapping": "none", "shadow-intensity": "0",
    }));
  }
  box.append(element("p", { className: "downloads" }, ...links));
}

// Start

async function start() {
  const words = new URLSearchParams(location.hash.slice(1));
  if (words.has("token")) {
    history.replaceState(null, "", location.pathname);
    await send("/api/login", { token: words.get("token") });
  }
  const info = await refresh();
  fillForm(info);
  $("login").hidden = true;
  $("main").hidden = false;
  if (jobs.has(words.get("job"))) choose(words.get("job"));
  setInterval(() => { if (!document.hidden) refresh().catch((error) => alertUser(error.message)); }, 5000);
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    await send("/api/login", { token: $("token").value });
    await start();
  });
});
$("prompt").addEventListener("input", updateWeights);
$("prompt").addEventListener("reset", () => setTimeout(updateWeights));
$("prompt").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const button = $("prompt").querySelector("button.main");
    button.disabled = true;
    try {
      const job = await call("/api/jobs", { method: "POST", body: promptData() });
      jobs.set(job.id, job);
      choose(job.id);
    } finally {
      button.disabled = false;
    }
  });
});
attempt(start);
