// The console: a reader of REST with three acts. Whatever comes from the server is put in as text,
// never as HTML; the page's policy (trusted types) has the browser refuse anything else.
"use strict";

(() => {
  const REFRESH = 2000; // milliseconds, of the view that is looked at
  const OVERVIEW = 10000; // of the names and numbers around it
  const VERIFY = 60000; // of the audit chains: the worker reads its whole log for it
  const PATIENCE = 30000; // the longest between two tries while nothing answers
  const PAGE = 50;
  // Refused reads are recorded in the audit log: nothing is asked for that the role does not cover.
  const AROUND = ["cluster.show", "member.list", "approval.list"];
  const PROMISED = ["pre-active", "active", "suspended"];
  const STATES = ["pre-active", "active", "suspended", "deactivated", "compromised", "destroyed"];
  const ALGORITHMS = ["rsa-2048", "rsa-3072", "rsa-4096", "p-256", "p-384", "p-521", "ed25519",
    "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"];
  const PHASES = ["replicating", "certifying", "staging", "switching", "draining", "done"];
  const TONES = {
    active: "good", suspended: "warn", compromised: "bad", "pre-active": "idle", alive: "good",
    "not alive": "bad", verified: "good", countersigned: "good", bad: "bad", alone: "warn",
    unknown: "warn", pending: "warn", done: "good", begun: "idle", "not-allowed": "bad",
    refused: "bad", failed: "bad", interrupted: "bad", unavailable: "bad",
    "approval-needed": "warn",
  };
  const ACTS = {
    suspend: {
      name: "key.suspend", verb: "Suspend", from: ["active"], danger: false,
      text: "No worker signs with it until it is resumed. Handshakes of its sites fail meanwhile.",
    },
    resume: {
      name: "key.resume", verb: "Resume", from: ["suspended"], danger: false,
      text: "Workers sign with it again.",
    },
    deactivate: {
      name: "key.deactivate", verb: "Deactivate", from: ["active", "suspended"], danger: true,
      text: "Nobody ever signs with it again. This cannot be undone.",
    },
  };

  // The token is in this variable and nowhere else: no storage, no cookie, no address.
  let token = "";
  let session = null;
  let cluster = null;
  let members = [];
  let approvals = [];
  let shown = null; // {view, argument, region, drawn}
  let timer = 0;
  let turn = 0; // of what is shown: answers to an older turn's questions are dropped
  let delay = REFRESH;
  let overviewAt = 0;
  const filters = { label: "", state: "", algorithm: "", site: "" };
  let pages = [""]; // what `after` was on each page up to this one
  let records = { before: null };
  let asking = new AbortController(); // of the dialog's question: a new one ends an older
  let chains = { at: 0, answer: null, error: "" };

  const find = (id) => document.getElementById(id);

  // Text and elements

  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

  /** Text without what would show nothing, or turn the direction of what follows. */
  function visible(value) {
    return String(value).replace(HIDDEN,
      (one) => "\\u" + one.charCodeAt(0).toString(16).padStart(4, "0"));
  }

  /** An element; properties of its own name are set as such, others as attributes. */
  function make(tag, properties, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties || {})) {
      if (name === "onclick") element.addEventListener("click", value);
      else if (name === "class") element.className = value;
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null) element.setAttribute(name, visible(value));
    }
    for (const child of children.flat(Infinity)) {
      if (child === null || child === undefined || child === "") continue;
      element.append(child instanceof Node ? child : document.createTextNode(visible(child)));
    }
    return element;
  }

  const badge = (text) => make("span", { class: "badge " + (TONES[text] || "") }, text);
  const code = (text) => make("code", null, text);
  const quiet = (...text) => make("span", { class: "quiet" }, ...text);

  function when(text) {
    const moment = text ? new Date(text) : null;
    if (!moment || Number.isNaN(moment.getTime())) return text || quiet("never");
    const iso = moment.toISOString();
    return make("time", { datetime: iso }, iso.slice(0, 10) + " " + iso.slice(11, 19) + " UTC");
  }

  const day = (text) => make("time", { datetime: text, title: text }, text.slice(0, 10));

  function lasted(seconds) {
    return seconds < 1 ? Math.round(seconds * 1000) + " ms" : seconds.toFixed(1) + " s";
  }

  const grouped = (digits) => String(digits).replace(/(.{4})(?=.)/g, "$1 ");
  const nameOf = (key) => key.label + "@" + key.generation;
  const many = (count, one, more) => count + " " + (count === 1 ? one : more || one + "s");

  /** A table; each cell bears its column's name, for narrow screens. groups: [heading, rows]. */
  function table(caption, columns, ...groups) {
    const body = ([heading, rows]) => make("tbody", null,
      heading ? make("tr", null, make("th", { scope: "rowgroup", colspan: columns.length }, heading))
        : null,
      rows.map((cells) => make("tr", null, cells.map((cell, index) => (index
        ? make("td", { "data-column": columns[index] }, make("div", null, cell))
        : make("th", { scope: "row" }, cell))))));
    return make("table", null, make("caption", null, caption),
      make("thead", null, make("tr", null, columns.map((one) => make("th", { scope: "col" }, one)))),
      groups.map(body));
  }

  function facts(pairs) {
    return make("dl", null, pairs.filter(([, value]) => value !== null)
      .map(([name, value]) => [make("dt", null, name), make("dd", null, value)]));
  }

  /** A command to run, with a button that copies it. */
  function command(...words) {
    const text = words.map(quoted).join(" ");
    const button = make("button", { type: "button", class: "plain", "data-id": "copy " + text,
      "aria-label": "Copy: " + text }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select and copy";
      }
    });
    return make("div", { class: "copyable" }, make("pre", null, code(text)), button);
  }

  function quoted(word) {
    return /^[A-Za-z0-9@%+=:,./_-]+$/.test(word) ? word : "'" + word.replaceAll("'", "'\\''") + "'";
  }

  // Questions to the worker

  class Problem extends Error {
    constructor(status, answer) {
      super(answer.detail || answer.title || "the worker answered " + status);
      this.status = status;
      this.remedy = answer.remedy || "";
    }
  }

  async function ask(path, options = {}) {
    const headers = { Accept: "application/json", ...options.headers };
    if (token) headers.Authorization = "Bearer " + token;
    const response = await fetch(path, {
      method: options.method || "GET", headers, body: options.body, cache: "no-store",
      credentials: "same-origin", redirect: "error", referrerPolicy: "no-referrer",
    });
    const text = await response.text();
    let answer = {};
    try {
      answer = JSON.parse(text);
    } catch {
      if (response.ok) throw new Problem(response.status, { detail: "the answer is not JSON" });
    }
    if (!response.ok) throw new Problem(response.status, answer);
    return { status: response.status, answer };
  }

  const get = async (path) => (await ask(path)).answer;
  const may = (act) => session !== null && session.acts.includes(act);

  function query(fields) {
    const set = Object.entries(fields).filter(([, value]) => value !== "" && value !== null);
    return set.length ? "?" + new URLSearchParams(set) : "";
  }

  // Who is here

  async function enter() {
    session = await get("/v1/session");
    find("who").replaceChildren(make("b", { class: "name" }, session.name), ", " + session.role);
    find("sign-out").hidden = !token; // a certificate is the browser's to put away
    find("session").hidden = find("views").hidden = false;
    overviewAt = 0;
    open();
  }

  function leave(why) {
    turn += 1;
    clearTimeout(timer);
    token = "";
    session = cluster = shown = null;
    members = approvals = [];
    chains = { at: 0, answer: null, error: "" };
    if (find("confirm").open) find("confirm").close();
    find("session").hidden = find("views").hidden = find("connection").hidden = true;
    for (const id of ["who", "cluster", "notices", "waiting", "enrolments"]) {
      find(id).replaceChildren();
    }
    find("main").replaceChildren(find("sign-in-view").content.cloneNode(true));
    find("sign-in-error").textContent = why || "";
    find("sign-in").addEventListener("submit", signIn);
    find("token").focus();
  }

  async function signIn(event) {
    event.preventDefault();
    const field = find("token");
    const given = field.value.trim();
    field.value = "";
    if (!/^[!-~]+$/.test(given)) {
      find("sign-in-error").textContent = "a token is letters, digits, - and _: paste it whole";
      return;
    }
    token = given;
    try {
      await enter();
    } catch (error) {
      leave(visible(error instanceof Problem ? error.message : "the worker does not answer"));
    }
  }

  // What is shown, and kept up to date

  function open() {
    if (!session) return;
    const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
    let argument = "";
    try {
      argument = decodeURIComponent(rest.join("/"));
    } catch { /* an address that somebody mistyped: the list is shown */ }
    const view = (name === "keys" && argument ? VIEWS.key : VIEWS[name]) || VIEWS.keys;
    turn += 1;
    delay = REFRESH;
    const region = make("div");
    shown = { view, argument, region, drawn: "" };
    find("notices").replaceChildren();
    shown.around = AROUND.every(may);
    const missing = [...AROUND, ...view.needs].find((act) => !may(act));
    const frame = missing
      ? [make("h1", null, view.title), make("p", { class: "card" },
        "The role " + session.role + " does not cover ", code(missing),
        ": sign in as somebody whose role does.")]
      : [...view.frame(argument), region];
    find("main").replaceChildren(...frame);
    document.title = (argument || view.title) + " · offload console";
    for (const link of find("views").children) {
      if (link.hash === "#/" + view.tab) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    shown.allowed = !missing;
    refresh();
  }

  async function refresh() {
    clearTimeout(timer);
    if (!session || !shown.around || document.hidden) return; // becoming visible starts it again
    const mine = ++turn;
    try {
      await overview(mine);
      if (mine === turn && shown.allowed) {
        const { view, argument } = shown;
        const data = await view.load(argument);
        if (mine === turn) draw(data);
      }
      if (mine !== turn) return;
      find("connection").hidden = true;
      delay = REFRESH;
    } catch (error) {
      if (mine !== turn) return;
      if (error instanceof Problem && error.status === 401) {
        leave("Signed out: " + visible(error.message));
        return;
      }
      failed(error);
    }
    timer = setTimeout(refresh, delay);
  }

  function failed(error) {
    const told = error instanceof Problem ? error.message : "the worker does not answer";
    find("connection").textContent = visible(told) + ". What you see may be out of date; trying again.";
    find("connection").hidden = false;
    delay = Math.min(delay * 2, PATIENCE);
  }

  async function overview(mine) {
    if (Date.now() - overviewAt < OVERVIEW) return;
    const [one, two, three] = await Promise.all(
      ["/v1/cluster", "/v1/members", "/v1/approvals"].map(get));
    if (mine !== turn) return;
    cluster = one;
    members = two.members;
    approvals = three.approvals;
    overviewAt = Date.now();
    around();
  }

  function around() {
    find("cluster").textContent = visible(cluster.name);
    counted("waiting", approvals.length, "waiting");
    counted("enrolments", members.filter((one) => one.state === "pending").length, "asking to join");
  }

  function counted(id, count, what) {
    const element = find(id);
    element.textContent = String(count);
    element.title = count + " " + what;
    element.hidden = count === 0;
  }

  /** Draw if something changed; focus and opened details stay. */
  function draw(data) {
    const now = JSON.stringify([data, cluster, members]);
    if (now === shown.drawn) return;
    shown.drawn = now;
    const { region, view, argument } = shown;
    const focused = region.contains(document.activeElement) ? document.activeElement.dataset.id : "";
    const opened = [...region.querySelectorAll("details[open]")].map((one) => one.dataset.id);
    region.replaceChildren(...view.draw(data, argument));
    for (const one of region.querySelectorAll("[data-id]")) {
      if (one.tagName === "DETAILS") one.open = opened.includes(one.dataset.id);
      else if (focused && one.dataset.id === focused) one.focus();
    }
  }

  function again() {
    overviewAt = 0;
    refresh();
  }

  function notice(tone, ...content) {
    const close = make("button", { type: "button", class: "plain" }, "Dismiss");
    const box = make("div", { class: "notice " + tone }, make("div", null, ...content), close);
    close.addEventListener("click", () => box.remove());
    find("notices").replaceChildren(box);
  }

  // Acts

  /** Resolves to whether the reader means it. */
  function confirmed(title, text, verb, danger, typed) {
    const dialog = find("confirm");
    const yes = find("confirm-yes");
    const name = find("confirm-name");
    find("confirm-title").textContent = visible(title);
    find("confirm-text").textContent = visible(text);
    find("confirm-expected").textContent = visible(typed);
    find("confirm-typed").hidden = !typed;
    name.value = "";
    yes.textContent = visible(verb);
    yes.className = danger ? "danger" : "";
    const check = () => { yes.disabled = Boolean(typed) && name.value.trim() !== typed; };
    check();
    asking.abort();
    asking = new AbortController();
    const { signal } = asking;
    return new Promise((resolve) => {
      const end = (answer) => () => {
        asking.abort();
        dialog.close();
        resolve(answer);
      };
      name.addEventListener("input", check, { signal });
      yes.addEventListener("click", end(true), { signal });
      find("confirm-no").addEventListener("click", end(false), { signal });
      dialog.addEventListener("close", () => {
        if (!dialog.open) end(false)(); // else the event is late: of the question before
      }, { signal });
      dialog.showModal();
      (typed ? name : find("confirm-no")).focus();
    });
  }

  async function perform(kind, key, approval) {
    const act = ACTS[kind];
    const verb = act.verb + " " + key;
    if (!await confirmed(verb + "?", act.text, verb, act.danger, act.danger ? key : "")) return;
    const headers = { "Idempotency-Key": crypto.randomUUID() };
    if (approval) headers["Offload-Approval"] = approval;
    try {
      const { status, answer } = await ask("/v1/keys/" + encodeURIComponent(key) + "/" + kind,
        { method: "POST", headers });
      if (status === 202) waiting(key, act, answer);
      else notice("good", make("p", null, make("b", null, key), " is " + answer.state + "."));
    } catch (error) {
      if (error instanceof Problem && error.status === 401) {
        leave("Signed out: " + visible(error.message));
        return;
      }
      const told = error instanceof Problem
        ? error.message + (error.remedy ? ": " + error.remedy : "")
        : "no answer came; it may have been done: look before you try again";
      notice("bad", make("p", null, make("b", null, verb), ": " + told));
    }
    again();
  }

  function waiting(key, act, answer) {
    notice("warn",
      make("p", null, make("b", null, act.verb + " " + key), " waits for officers: " + answer.detail + "."),
      make("p", null, "Each signs with the own key: ", code("offload approval sign " + answer.approval)),
      make("p", null, "Then carry it out under ", make("a", { href: "#/approvals" }, "Approvals"), "."));
  }

  function needed(act) {
    const officers = cluster.approvals[act];
    return officers ? " (needs " + many(officers, "officer") + ")" : "";
  }

  // Keys

  const present = () => members.filter((one) => one.state === "present");

  /** A key's copies by worker: those that are there, and those that ought to be. */
  function replication(key) {
    const here = present().map((one) => one.name);
    const copies = new Map(key.copies.map((one) => [one.member, one]));
    const held = here.filter((name) => copies.has(name) && copies.get(name).state === "held");
    const due = key.state === "destroyed" ? [] : here.filter(
      (name) => (key.replicated || key.home === name) && !held.includes(name));
    const short = PROMISED.includes(key.state) && held.length < key.copies_needed;
    return { copies, held, due, short };
  }

  function chips(key) {
    const { copies, held, due } = replication(key);
    const erased = key.copies.filter((one) => one.state === "erased").map((one) => one.member);
    return make("ul", { class: "chips" },
      held.map((name) => make("li", { class: "chip good" }, name + " ",
        make("small", { title: "from its publication to this worker's token" },
          lasted(copies.get(name).lag_seconds)))),
      due.map((name) => make("li", { class: "chip missing" }, name + " missing")),
      erased.map((name) => make("li", { class: "chip" }, name + " ", make("small", null, "erased"))));
  }

  function copies(key) {
    const { held, short } = replication(key);
    if (short) return make("span", { class: "badge bad" }, held.length + " of " + key.copies_needed);
    return quiet(key.state === "destroyed" ? "none" : held.length + " of " + key.copies_needed
      + (key.replicated ? "" : ", not replicated"));
  }

  function state(key) {
    const note = key.destroy_at && key.state !== "destroyed"
      ? [" ", make("span", { class: "badge bad", title: key.destroy_at }, "to be destroyed")] : [];
    return [badge(key.state), ...note];
  }

  function linked(key, keys) {
    const name = nameOf(key);
    return [make("a", { href: "#/keys/" + encodeURIComponent(name), "data-id": name }, name),
      " ", quiet(standing(key, keys))];
  }

  /** What a generation is to its label, as far as `keys` tell. */
  function standing(key, keys) {
    if (key.purpose === "authority") return "authority";
    const current = keys.find((one) => one.label === key.label && one.current);
    if (key.current || !current) return "";
    return key.generation > current.generation && PROMISED.includes(key.state) ? "next" : "former";
  }

  function generationOf(key, keys) {
    const which = key.current ? "current" : standing(key, keys);
    return which && key.purpose !== "authority" ? which + " generation" : which;
  }

  function keysFrame() {
    const form = make("form", { class: "filters", role: "search", "aria-label": "Filter keys" },
      field("label", "Label", "www or www*"), choice("state", "State", STATES),
      choice("algorithm", "Algorithm", ALGORITHMS), field("site", "Serves site", "www.example.org"),
      make("button", { type: "submit" }, "Filter"),
      make("button", { type: "reset", class: "plain" }, "Clear"));
    const take = () => {
      for (const name of Object.keys(filters)) filters[name] = form.elements[name].value.trim();
      pages = [""];
      refresh();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      take();
    });
    form.addEventListener("change", take);
    form.addEventListener("reset", () => setTimeout(() => {
      for (const control of form.querySelectorAll("input, select")) control.value = "";
      take();
    }));
    return [make("h1", null, "Keys"), form];
  }

  function field(name, text, hint) {
    const input = make("input", { name, placeholder: hint, autocomplete: "off",
      autocapitalize: "off", spellcheck: "false" });
    input.value = filters[name];
    return make("label", null, text, input);
  }

  function choice(name, text, values) {
    const select = make("select", { name }, make("option", { value: "" }, "any"),
      values.map((one) => make("option", { value: one }, one)));
    select.value = filters[name];
    return make("label", null, text, select);
  }

  function keysDraw(page) {
    const short = page.keys.filter((key) => replication(key).short).length;
    const caption = [
      many(cluster.keys, "key") + " in the cluster, " + page.keys.length + " on this page"
      + (short ? ", " : "; copies as promised"),
      short ? make("span", { class: "badge bad" }, short + " short of workers") : ""];
    const rows = page.keys.map((key) => [linked(key, page.keys), state(key), key.algorithm, copies(key),
      chips(key), key.sites.length ? key.sites.join(", ") : quiet("any"), String(key.signatures)]);
    const list = page.keys.length
      ? table(caption, ["Key", "State", "Algorithm", "Copies", "Workers", "Sites", "Signatures"],
        ["", rows])
      : make("p", { class: "empty" }, "No key is like that.");
    return [make("section", { class: "card flush" }, list), pager(page.next)];
  }

  function pager(next) {
    const number = pages.length;
    const turned = (change) => () => {
      change();
      refresh();
    };
    return make("nav", { class: "row", "aria-label": "Pages" },
      make("button", { type: "button", class: "plain", "data-id": "previous", disabled: number === 1,
        onclick: turned(() => pages.pop()) }, "Previous"),
      quiet("page " + number),
      make("button", { type: "button", class: "plain", "data-id": "next", disabled: !next,
        onclick: turned(() => pages.push(next)) }, "Next"));
  }

  async function keyLoad(name) {
    const at = name.lastIndexOf("@");
    const label = at > 0 ? name.slice(0, at) : name;
    const generation = at > 0 ? Number(name.slice(at + 1)) : 0;
    const { keys } = await get("/v1/keys" + query({ label, limit: 1000 }));
    const key = keys.find((one) => (generation ? one.generation === generation : one.current))
      || (generation ? null : keys.at(-1));
    if (!key) return { key: null, keys: [], rotation: null };
    return { key, keys, rotation: keys.length > 1 ? await rotationOf(label) : null };
  }

  async function rotationOf(label) {
    if (!may("key.rotation")) return null;
    try {
      return await get("/v1/keys/" + encodeURIComponent(label) + "/rotation");
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return null; // made without one
      throw error;
    }
  }

  function keyDraw({ key, keys, rotation }, name) {
    if (!key) return [make("h1", null, name), make("p", { class: "card" }, "There is no such key.")];
    return [
      make("div", { class: "row between title" },
        make("div", { class: "row" }, make("h1", { class: "name" }, nameOf(key)), ...state(key),
          quiet(generationOf(key, keys))),
        make("div", { class: "row" }, buttons(key))),
      rotation ? rotationCard(rotation, keys) : null,
      make("div", { class: "columns" },
        make("section", { class: "card" }, make("h2", null, "Key"), facts(keyFacts(key))),
        make("div", null,
          make("section", { class: "card" }, make("h2", null, "Replication"),
            make("p", null, key.replicated ? [copies(key), " copies. "] : "", replicationText(key)),
            chips(key)),
          make("section", { class: "card" }, make("h2", null, "Generations"),
            make("ul", { class: "stacked" }, keys.map((one) => make("li", { class: "row" },
              linked(one, keys), badge(one.state))))))),
      elsewhere(key),
    ].filter((one) => one !== null);
  }

  function buttons(key) {
    if (key.purpose === "authority") return [quiet("The cluster alone looks after this key.")];
    return Object.entries(ACTS).filter(([, act]) => act.from.includes(key.state) && may(act.name))
      .map(([kind, act]) => make("button", {
        type: "button", class: act.danger ? "danger" : "", "data-id": kind,
        onclick: () => perform(kind, nameOf(key), ""),
      }, act.verb + needed(act.name)));
  }

  function replicationText(key) {
    const { due, short } = replication(key);
    if (!key.replicated) return "It lives on " + key.home + " alone: its owner wanted no copies.";
    if (short) return "Fewer workers have it than the cluster's policy promises.";
    return due.length ? "Enough, though not every worker has it yet." : "";
  }

  function keyFacts(key) {
    const list = (items, none) => (items.length ? items.join(", ") : quiet(none));
    return [
      ["Algorithm", key.algorithm],
      ["Key id (SKI)", code(key.ski)],
      ["Sites", list(key.sites, "any")],
      ["Front-ends", list(key.frontends.map((one) => (one === "*" ? "all" : one)), "none")],
      ["Signatures", String(key.signatures) + (key.audit_signatures ? ", each in the audit log" : "")],
      ["Exportable", key.exportable ? "yes" : "no"],
      ["Made on", key.home],
      ["Created", when(key.created)],
      ["Changed", when(key.changed)],
      ["Activates", key.activates ? when(key.activates) : null],
      ["Deactivates", key.deactivates ? when(key.deactivates) : null],
      ["Destroyed at", key.destroy_at ? when(key.destroy_at) : null],
      ["Public key", make("details", { "data-id": "public" }, make("summary", null, "PEM"),
        make("pre", null, key.public_key))],
    ];
  }

  function rotationCard(rotation, keys) {
    const at = PHASES.indexOf(rotation.phase);
    const named = (ski) => {
      const key = keys.find((one) => one.ski === ski);
      return key ? nameOf(key) : ski;
    };
    const steps = PHASES.map((phase, index) => make("li", {
      class: index < at || rotation.phase === "done" ? "past" : "",
      "aria-current": phase === rotation.phase && phase !== "done" ? "step" : null,
    }, phase));
    const back = rotation.phase === "rolled-back";
    return make("section", { class: "card" },
      make("h2", null, "Rotation from " + named(rotation.old_ski) + " to " + named(rotation.new_ski)),
      back ? make("p", null, make("span", { class: "badge bad" }, "rolled back"), " ", rotation.reason)
        : make("ol", { class: "steps" }, steps),
      rotation.waiting_for ? make("p", null, "Waiting: " + rotation.waiting_for) : null,
      facts([["Began", when(rotation.began)], ["Last step", when(rotation.changed)],
        ["Certificate", rotation.issue], ["Names", rotation.names.join(", ")]]));
  }

  function elsewhere(key) {
    if (key.purpose === "authority") return null;
    const name = nameOf(key);
    const kinds = [["key.rotate", "rotate", key.label], ["key.compromise", "compromise", name],
      ["key.destroy", "destroy", name], ["key.keep", "keep", name]];
    const lines = kinds.filter(([act]) => may(act) && (act !== "key.keep" || key.destroy_at))
      .filter(([act]) => key.state !== "destroyed" || act === "key.rotate")
      .map(([, verb, target]) => command("offload", "key", verb, target));
    return lines.length ? make("details", { class: "card", "data-id": "elsewhere" },
      make("summary", null, "What the command line does with this key"), lines) : null;
  }

  // Members

  async function membersLoad() {
    const answer = await get("/v1/members");
    members = answer.members;
    around();
    return answer;
  }

  function membersDraw({ members: all }) {
    const removed = all.filter((one) => one.state === "removed");
    return [
      ...all.filter((one) => one.state === "pending").map(enrolment),
      make("section", { class: "card flush" }, zones(present())),
      removed.length ? make("details", { class: "card", "data-id": "removed" },
        make("summary", null, many(removed.length, "removed member")),
        make("ul", null, removed.map((one) => make("li", null, one.name)))) : null,
    ].filter((one) => one !== null);
  }

  function zones(all) {
    const alive = (some) => some.filter((one) => one.alive).length + " of " + some.length + " alive";
    const groups = Map.groupBy(all, (one) => one.zone);
    const bodies = [...groups.keys()].sort().map((zone) => [
      [zone ? ["Zone ", make("b", null, make("bdi", null, zone))] : make("b", null, "No zone"),
        quiet(", " + alive(groups.get(zone)))],
      groups.get(zone).map(memberRow)]);
    return table(many(all.length, "member") + ", " + alive(all), ["Member", "Sign of life", "Token",
      "Capacity", "Keys held", "Missing", "Links", "REST", "Joined", "Fingerprint"], ...bodies);
  }

  function memberRow(one) {
    return [one.name, badge(one.alive ? "alive" : "not alive"), one.token, String(one.capacity),
      String(one.keys_held),
      one.keys_missing ? make("span", { class: "badge warn" }, String(one.keys_missing)) : "0",
      code(one.address), code(one.api), one.joined ? day(one.joined) : "",
      make("details", { "data-id": "fingerprint " + one.name }, make("summary", null, "show"),
        code(grouped(one.fingerprint)))];
  }

  function enrolment(one) {
    const steps = may("member.approve")
      ? [make("p", null, "If it is the fingerprint that the new machine shows (ask whoever sits"
        + " there, by another way than this cluster):"),
      command("offload", "cluster", "approve", one.name, grouped(one.fingerprint)),
      make("p", null, "Otherwise:"), command("offload", "cluster", "reject", one.name)]
      : [make("p", null, "An officer decides.")];
    return make("section", { class: "card" },
      make("h2", null, badge("pending"), " ", make("bdi", null, one.name), " asks to join"),
      facts([["Zone", one.zone || quiet("none")], ["Token", one.token],
        ["Links", code(one.address)], ["Fingerprint", code(grouped(one.fingerprint))]]),
      ...steps);
  }

  // Approvals

  async function approvalsLoad() {
    const answer = await get("/v1/approvals");
    approvals = answer.approvals;
    around();
    const matching = await Promise.all(approvals.map(async (one) => await sha256(one.act) === one.digest));
    return { approvals, matching };
  }

  async function sha256(text) {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function approvalsDraw({ approvals: all, matching }) {
    if (!all.length) return [make("p", { class: "card" }, "Nothing waits for officers.")];
    return all.map((one, index) => approvalCard(one, matching[index]));
  }

  function approvalCard(one, matches) {
    const ready = one.signed_by.length >= one.needed;
    return make("section", { class: "card" },
      make("div", { class: "row between" }, make("h2", null, one.name),
        make("span", { class: "badge " + (ready ? "good" : "warn") },
          one.signed_by.length + " of " + many(one.needed, "officer"))),
      make("p", null, "The exact act, as it will be carried out:"), make("pre", null, code(one.act)),
      facts([
        ["SHA-256", [code(one.digest), " ", matches
          ? quiet("is that of this text")
          : make("span", { class: "badge bad" }, "is not that of this text: do not sign")]],
        ["Asked for by", one.requested_by],
        ["Signed by", one.signed_by.length ? one.signed_by.join(", ") : quiet("nobody")],
        ["Created", when(one.created)],
        ["Over at", when(one.expires)],
      ]),
      ...nextSteps(one, ready, matches));
  }

  function nextSteps(one, ready, matches) {
    const mine = one.requested_by === session.name;
    if (!matches) return [];
    if (ready) return mine ? [carryOut(one)] : [make("p", null, make("bdi", null, one.requested_by), " can carry it out now.")];
    if (!may("approval.sign")) return [make("p", { class: "quiet" }, "Officers sign on the command line.")];
    if (one.signed_by.includes(session.name)) return [make("p", { class: "quiet" }, "You have signed; others have to.")];
    return [make("p", null, "Sign with your own key, which never comes here:"),
      command("offload", "approval", "sign", one.id),
      make("p", null, "To turn it down:"), command("offload", "approval", "reject", one.id)];
  }

  /** Of an act of this console a button, of others what to type. */
  function carryOut(one) {
    const kind = Object.keys(ACTS).find((each) => ACTS[each].name === one.name);
    const key = kind ? JSON.parse(one.act).key : "";
    if (!kind) return make("p", null, "Enough have signed: repeat your command with ", code("--approval " + one.id));
    return make("p", { class: "row" }, make("button", { type: "button", "data-id": one.id,
      class: ACTS[kind].danger ? "danger" : "", onclick: () => perform(kind, key, one.id) },
    ACTS[kind].verb + " " + key + " now"), quiet("enough officers have signed"));
  }

  // Audit

  async function auditLoad() {
    if (Date.now() - chains.at >= VERIFY) await verify();
    const page = await get("/v1/audit" + query({ before: records.before, limit: PAGE }));
    return { page, chains };
  }

  async function verify() {
    try {
      chains = { at: Date.now(), answer: await get("/v1/audit/verification"), error: "" };
    } catch (error) {
      if (!(error instanceof Problem) || error.status === 401) throw error;
      chains = { at: Date.now(), answer: chains.answer, error: error.message };
    }
  }

  function auditDraw({ page }) {
    return [chainsCard(), recordsCard(page)];
  }

  function chainsCard() {
    const { answer, at, error } = chains;
    const rows = (answer ? answer.chains : []).map((one) => [one.worker,
      [badge(one.state), one.problem ? make("p", { class: "error" }, one.problem) : "",
        ...one.warnings.map((text) => make("p", { class: "quiet" }, text))],
      one.last ? String(one.last) : quiet("not read here"),
      one.covered ? [String(one.covered), " ", quiet("at "), when(one.covered_at)] : quiet("none"),
      make("ul", { class: "chips" }, Object.entries(one.countersigned).map(
        ([name, seq]) => make("li", { class: "chip" }, name + " ", make("small", null, "to " + seq))))]);
    return make("section", { class: "card flush" }, table(
      [error ? make("span", { class: "badge bad" }, error) : verdict(answer), " looked at ",
      when(new Date(at).toISOString()), " ",
      make("button", { type: "button", class: "plain", "data-id": "verify",
        onclick: () => { chains.at = 0; refresh(); } }, "Verify now")],
      ["Worker", "Chain", "Last record", "Checkpoint", "Countersigned by"], ["", rows]),
    make("p", { class: "empty" }, "verified: this worker's own log was read to its end;"
      + " countersigned: other workers have signed checkpoints of it; alone: none has yet; unknown:"
      + " it has no checkpoint. ",
    code("offload audit verify"), " reads an exported log without any worker."));
  }

  function verdict({ whole, chains: all }) {
    const unproven = all.filter((one) => ["alone", "unknown"].includes(one.state)).length;
    if (!whole) return make("span", { class: "badge bad" }, "a chain is bad");
    if (unproven) return make("span", { class: "badge warn" }, "none is bad, " + unproven + " unproven");
    return make("span", { class: "badge good" }, "all chains are good");
  }

  function recordsCard(page) {
    const rows = [...page.records].reverse().map((one) => one.damage
      ? [String(one.seq), "", badge("bad"), one.damage, "", "", ""]
      : [String(one.seq), when(one.time), one.kind, who(one.fields), what(one.fields),
        one.fields.outcome ? badge(one.fields.outcome) : "", all(one)]);
    const to = (before) => () => {
      records.before = before;
      refresh();
    };
    return make("section", { class: "card flush" },
      table("Records of the worker that you are asking, the newest first",
        ["Record", "Time", "Kind", "Who", "What", "Outcome", "All of it"], ["", rows]),
      make("nav", { class: "row empty", "aria-label": "Pages of records" },
        make("button", { type: "button", class: "plain", "data-id": "older", disabled: !page.older,
          onclick: to(page.older) }, "Older"),
        make("button", { type: "button", class: "plain", "data-id": "newest",
          disabled: records.before === null, onclick: to(null) }, "Newest")));
  }

  const who = (fields) => (fields.actor ? [String(fields.actor), " ", quiet(fields.role, ", ", fields.via)] : "");
  const what = (fields) => [String(fields.act || ""), " ", make("bdi", null, fields.target || "")];

  function all(record) {
    return make("details", { "data-id": "record " + record.seq }, make("summary", null, "show"),
      make("pre", null, code(JSON.stringify(record.fields, null, 2))));
  }

  async function keysLoad() {
    try {
      return await get("/v1/keys" + query({ ...filters, after: pages.at(-1), limit: PAGE }));
    } catch (error) {
      // The key that this page begins after is gone.
      if (!(error instanceof Problem) || error.status !== 404 || pages.length === 1) throw error;
      pages = [""];
      return keysLoad();
    }
  }

  const title = (text) => () => [make("h1", null, text)];
  const VIEWS = {
    keys: { tab: "keys", title: "Keys", needs: ["key.list"], frame: keysFrame,
      load: keysLoad, draw: keysDraw },
    key: { tab: "keys", title: "Key", needs: ["key.list"], load: keyLoad, draw: keyDraw,
      frame: () => [make("p", null, make("a", { href: "#/keys" }, "← All keys"))] },
    members: { tab: "members", title: "Members", needs: ["member.list"], frame: title("Members"),
      load: membersLoad, draw: membersDraw },
    approvals: { tab: "approvals", title: "Approvals", needs: ["approval.list"],
      frame: title("Approvals"), load: approvalsLoad, draw: approvalsDraw },
    audit: { tab: "audit", title: "Audit", needs: ["audit.show", "audit.verify"],
      frame: title("Audit"), load: auditLoad, draw: auditDraw },
  };

  window.addEventListener("hashchange", () => {
    open();
    find("main").focus();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  find("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address says which view is shown
    find("main").focus();
  });
  find("sign-out").addEventListener("click", () => leave(""));
  enter().catch((error) => leave(
    error instanceof Problem && error.status === 401 ? "" : "the worker does not answer"));
})();
