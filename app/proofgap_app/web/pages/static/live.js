/* What a page does beyond a page: it says when a newer decision exists and shows it in place. Everything works without
   it. The stream tells ids only; the page is fetched anew, so that what may be seen is decided anew as well. */
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const say = (text) => { find("announce").textContent = text; };
  const offer = () => { for (const id of ["copy", "print"]) if (find(id)) find(id).hidden = false; };
  addEventListener("click", (event) => {
    const button = event.target.closest?.("#copy, #print");
    if (button?.id === "print") window.print();
    if (button?.id === "copy") navigator.clipboard.writeText(button.dataset.copy).then(() => say("ID copied"));
  });
  offer();
  addEventListener("beforeprint", () => {
    const details = find("diagnostics");
    if (details && !details.open) {
      details.open = true;
      addEventListener("afterprint", () => { details.open = false; }, { once: true });
    }
    if (find("printed-from")) find("printed-from").textContent = location.origin + find("printed-from").dataset.path;
  });

  const SILENCE_MAX_MS = 35000; // a stream says every 15 seconds that it is there, and a poll waits for 20
  const live = find("live");
  if (!live || !(live.dataset.stream || live.dataset.poll)) return;
  const mark = (text, stale) => {
    live.hidden = false;
    live.textContent = text;
    live.classList.toggle("stale", stale);
  };
  const seq = (page) => Number(page.querySelector("[data-seq]")?.dataset.seq || 0);
  const label = () => document.querySelector("[data-seq]")?.dataset.label || "";
  const asked = new Map(), silent = new Set(); // of each place that is polled: what is under way; which of them did not answer
  let busy = false, again = false, behind = false, told = 0;

  /* What stands on the new page where the focus was: by its id, else what says the same and leads to the same. */
  const isAlike = (one, old) => one.textContent === old.textContent && one.getAttribute("href") === old.getAttribute("href");
  const counterpart = (old) => (old.id ? find(old.id) : [...document.querySelectorAll(old.tagName)].find((one) => isAlike(one, old)));
  const swap = (page) => {
    if (seq(page) <= seq(document)) return;
    const focused = document.activeElement, before = label();
    for (const part of page.querySelectorAll("[data-part]")) {
      const old = document.querySelector(`[data-part="${part.dataset.part}"]`);
      if (old) old.replaceWith(document.adoptNode(part));
    }
    Object.assign(live.dataset, page.getElementById("live")?.dataset);
    offer();
    if (focused && !focused.isConnected) (counterpart(focused) || find("main")).focus({ preventScroll: true });
    document.title = page.title;
    if (label() !== before) say(label());
  };
  const reload = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
      behind = false;
      caughtUp();
    } catch {
      behind = true;
      mark("Not live: newer decision exists. Reload", true);
    }
    busy = false;
    if (again) { again = false; reload(); }
  };

  const stale = () => mark(`Not live: showing ${live.dataset.asOf}. Retrying`, true);
  const caughtUp = () => { if (behind) return reload(); if (!silent.size) mark("Live", false); };
  let stream, silence;
  const leave = () => { clearTimeout(silence); stream?.close(); };
  const isHidden = () => document.visibilityState === "hidden"; // a browser has few connections to one site, and tabs share them
  const anew = () => { stale(); follow(); };
  const heard = () => { clearTimeout(silence); silence = setTimeout(anew, SILENCE_MAX_MS); };
  const follow = () => {
    leave();
    if (isHidden()) return;
    stream = new EventSource(live.dataset.stream);
    heard();
    stream.addEventListener("open", () => { heard(); caughtUp(); });
    stream.addEventListener("ping", heard);
    stream.addEventListener("error", () => {
      stale();
      if (stream.readyState === EventSource.CLOSED) { clearTimeout(silence); setTimeout(follow, 5000); }
    });
    stream.addEventListener("decision", (event) => {
      heard();
      const id = Number(event.lastEventId);
      if (id > told) { told = id; reload(); }
    });
  };
  addEventListener("offline", stale);
  addEventListener("online", () => { if (live.dataset.stream) anew(); });
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => { if (event.persisted && live.dataset.stream) follow(); });
  document.addEventListener("visibilitychange", () => {
    if (isHidden()) { leave(); asked.forEach((one) => one.abort()); stale(); }
    else if (live.dataset.stream) follow();
  });
  const poll = async (place, after) => {
    for (;;) {
      while (isHidden()) await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
      const under = new AbortController(), limit = setTimeout(() => under.abort(), SILENCE_MAX_MS);
      asked.set(place, under);
      try {
        const answer = await fetch(`${place}?wait=20&after=${after}`, { signal: under.signal });
        if (!answer.ok) throw new Error(String(answer.status));
        const news = await answer.json();
        after = news.next;
        silent.delete(place);
        if (news.items.length) await reload();
        else await caughtUp();
      } catch {
        silent.add(place);
        stale();
        if (!isHidden()) await new Promise((done) => setTimeout(done, 5000));
      }
      clearTimeout(limit);
    }
  };
  if (live.dataset.stream) follow();
  else {
    mark("Live", false);
    for (const place of live.dataset.poll.split(" ")) poll(place, live.dataset.after);
  }
})();
