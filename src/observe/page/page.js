// Keeps the page fresh. The server says when there is news; then the page is fetched once more, and what differs is changed in place,
// so that focus, selection, scrolling and opened details stay. Without this script the page is whole, and is reloaded by hand.
"use strict";
(() => {
  const MINUTE = 60_000; // "in 12 days" grows old even when nothing happens
  const PAUSE = 5_000; // before trying again
  const TYPING = 200; // after the last key
  const live = document.getElementById("live");
  const news = document.getElementById("news");
  const main = document.getElementById("main");
  let busy = false;
  let again = false;

  // Makes a node like a fresh one. Children that have a key are found by it, others by their place.
  function change(old, fresh) {
    for (const { name } of [...old.attributes]) {
      // What a reader has opened stays open.
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const keyed = new Map();
    for (const child of old.children) {
      if (child.dataset.key) keyed.set(child.dataset.key, child);
    }
    let at = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const key = next.dataset?.key;
      let same = null;
      if (key) {
        same = keyed.get(key);
        keyed.delete(key);
      } else if (at && !at.dataset?.key && at.nodeName === next.nodeName) {
        same = at;
      }
      if (!same) {
        old.insertBefore(next, at);
        continue;
      }
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      if (same.nodeType === Node.ELEMENT_NODE) change(same, next);
      else if (same.data !== next.data) same.data = next.data;
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  const headline = (page) => page.querySelector("h1")?.textContent ?? "";
  const latest = (page) => page.querySelector(".events li")?.dataset.key ?? "";

  function take(fresh) {
    const focused = document.activeElement;
    const [said, seen] = [headline(document), latest(document)];
    const announced = [];
    if (headline(fresh) !== said) announced.push(headline(fresh));
    // Where there were none so far, all are new; before the first look there was no place for them.
    if (document.getElementById("events")) {
      for (const event of fresh.querySelectorAll(".events li")) {
        if (event.dataset.key === seen || announced.length > 3) break;
        announced.push(`${event.querySelector(".word").textContent}: ${event.querySelector(".text").textContent}`);
      }
    }
    change(main, fresh.getElementById("main"));
    if (document.title !== fresh.title) document.title = fresh.title;
    // What moves to another place loses the focus.
    if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
    if (announced.length) news.textContent = announced.join(". ");
  }

  // Without the name and the password that an address may hold, with which nothing can be fetched.
  const here = () => location.origin + location.pathname;

  async function refresh() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      do {
        again = false;
        const answer = await fetch(here() + location.search, { signal: AbortSignal.timeout(20_000) });
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        const text = await answer.text();
        if (!again) take(new DOMParser().parseFromString(text, "text/html"));
      } while (again);
    } catch {
      say("lost", "connection lost, trying again");
    } finally {
      busy = false;
    }
  }

  function say(state, text) {
    live.className = state;
    if (live.textContent !== text) live.textContent = text;
  }

  function listen() {
    const source = new EventSource(`${here()}live`);
    source.onopen = () => {
      say("live", "live");
      refresh();
    };
    source.onmessage = refresh;
    source.onerror = () => {
      say("lost", "connection lost, trying again");
      // A refusal is final for the browser; whatever else happens, it tries again by itself.
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, PAUSE);
    };
  }

  const form = () => document.querySelector("form.filter");
  function search() {
    const wanted = new URLSearchParams(new FormData(form()));
    history.replaceState(null, "", `?${wanted}`);
    refresh();
  }
  let typing;
  main.addEventListener("input", (event) => {
    if (event.target.form !== form()) return;
    clearTimeout(typing);
    typing = setTimeout(search, TYPING);
  });
  main.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    search();
  });

  setInterval(refresh, MINUTE);
  listen();
})();
