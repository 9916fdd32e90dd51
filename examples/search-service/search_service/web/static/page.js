// What the page can do without: suggesting airports while one types, and saying that a search is under way.
"use strict";

const PAUSE = 120; // milliseconds of no typing before airports are looked up
const MOST = 8;

/** An airport's field as the combobox of the ARIA Authoring Practices: a list that the arrows move in. */
class Combobox {
  constructor(input, told) {
    this.input = input;
    this.told = told;
    this.options = [];
    this.active = -1;
    this.list = document.createElement("ul");
    this.list.id = `${input.id}-list`;
    this.list.hidden = true;
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", "Airports");
    input.after(this.list);
    input.removeAttribute("list"); // the browser's own suggestions
    for (const [name, value] of [
      ["role", "combobox"], ["aria-autocomplete", "list"], ["aria-expanded", "false"], ["aria-controls", this.list.id],
    ]) input.setAttribute(name, value);
    input.addEventListener("input", () => this.wait());
    input.addEventListener("keydown", (event) => this.press(event));
    input.addEventListener("focus", () => input.select());
    input.addEventListener("blur", () => this.close());
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // keeps the focus in the field
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.choose(this.options.indexOf(option));
    });
  }

  wait() {
    clearTimeout(this.timer);
    this.lookup?.abort();
    const words = this.input.value.trim();
    if (!words) return this.close();
    this.timer = setTimeout(() => this.look(words), PAUSE);
  }

  async look(words) {
    this.lookup = new AbortController();
    try {
      const query = new URLSearchParams({ q: words, limit: MOST });
      const answer = await fetch(`/airports?${query}`, { signal: this.lookup.signal });
      if (answer.ok && document.activeElement === this.input) this.show((await answer.json()).airports);
    } catch {
      this.close(); // typing a code or a city works as well
    }
  }

  show(airports) {
    this.options = airports.map((airport, at) => this.option(airport, at));
    const none = document.createElement("li");
    none.className = "none";
    none.setAttribute("role", "option");
    none.setAttribute("aria-disabled", "true");
    none.textContent = "No airport is called so.";
    this.list.replaceChildren(...(this.options.length ? this.options : [none]));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.mark(-1);
    const number = this.options.length;
    this.told.textContent = number === 1 ? "1 airport; arrow down to choose it" :
      number ? `${number} airports; arrow down to choose` : none.textContent;
  }

  option(airport, at) {
    const option = document.createElement("li");
    option.id = `${this.list.id}-${at}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    option.dataset.value = `${airport.city || airport.name} (${airport.code})`;
    const code = document.createElement("b");
    code.textContent = airport.code;
    const words = document.createElement("span");
    const name = document.createElement("small");
    name.textContent = airport.served ? airport.name : `${airport.name} · no flights on record`;
    words.append([airport.city, airport.subdivision].filter(Boolean).join(", ") || airport.country, name);
    option.append(code, " ", words);
    return option;
  }

  press(event) {
    const open = !this.list.hidden && this.options.length > 0;
    const last = this.options.length - 1;
    if (event.key === "ArrowDown" && !open) this.wait();
    else if (event.key === "ArrowDown" && open) this.mark(this.active >= last ? 0 : this.active + 1);
    else if (event.key === "ArrowUp" && open) this.mark(this.active <= 0 ? last : this.active - 1);
    else if (event.key === "Enter" && open && this.active >= 0) this.choose(this.active);
    else if (event.key === "Escape" && !this.list.hidden) this.close();
    else if (event.key === "Tab" && open && this.active >= 0) return this.choose(this.active);
    else return;
    event.preventDefault();
  }

  mark(at) {
    this.options[this.active]?.setAttribute("aria-selected", "false");
    this.active = at;
    const option = this.options[at];
    if (!option) return this.input.removeAttribute("aria-activedescendant");
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", option.id);
  }

  choose(at) {
    this.input.value = this.options[at].dataset.value;
    this.told.textContent = `${this.input.value} chosen`;
    this.close();
  }

  close() {
    clearTimeout(this.timer);
    this.lookup?.abort();
    this.mark(-1);
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
  }
}

const told = document.getElementById("told");
const main = document.getElementById("main");

function busy(on) {
  document.body.toggleAttribute("data-busy", on);
  main.setAttribute("aria-busy", String(on));
  told.textContent = on ? "Searching…" : "";
}

for (const input of document.querySelectorAll("input[data-airport]")) new Combobox(input, told);

// Fields that are empty stay out of the address.
document.getElementById("form").addEventListener("submit", (event) => {
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
  busy(true);
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("main a[href^='/?'], .choices a");
  if (link && !event.defaultPrevented && !event.ctrlKey && !event.metaKey && !event.shiftKey) busy(true);
});
// A page that comes back from the browser's memory is as it was left.
addEventListener("pageshow", () => {
  busy(false);
  for (const field of document.getElementById("form").elements) field.disabled = false;
});
