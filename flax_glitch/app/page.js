() => {
  // From a verdict to its class in the Guide.
  window.showClass = (id) => {
    const tabs = [...document.querySelectorAll("button[role=tab]")];
    tabs.find((tab) => tab.textContent.trim() === "Guide")?.click();
    const found = setInterval(() => {
      const entry = document.getElementById(id);
      if (!entry?.offsetParent) return;
      clearInterval(found);
      entry.scrollIntoView({ block: "center" });
      entry.focus();
    }, 50);
    setTimeout(() => clearInterval(found), 3000);
  };
  // Pictures pasted anywhere are a glitch to classify.
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
    const input = document.querySelector(".drop input[type=file]");
    if (!files.length || !input) return;
    event.preventDefault();
    [...document.querySelectorAll("button[role=tab]")]
      .find((tab) => tab.textContent.trim() === "Classify")?.click();
    const transfer = new DataTransfer();
    for (const file of files) transfer.items.add(file);
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  // Of Gradio's own parts: a caption is its picture's alternative text already, an empty box has no
  // role to be named by, and a button's name has in it what the button says.
  const each = (where, how) => document.querySelectorAll(where).forEach(how);
  const mend = () => {
    each(".caption-label", (one) => one.setAttribute("aria-hidden", "true"));
    each("div.empty[aria-label]", (one) => one.removeAttribute("aria-label"));
    each("button[aria-label]", (one) => {
      const says = one.textContent.replace(/\s{2,}/g, " ").trim();
      if (!one.ariaLabel.includes(says)) one.ariaLabel = `${says}, ${one.ariaLabel}`;
    });
  };
  mend();
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
  // A number below its minimum is not sent, and becomes it.
  for (const kind of ["input", "change"])
    addEventListener(kind, (event) => {
      const one = event.target;
      if (one.type !== "number" || !one.min || Number(one.value) >= Number(one.min)) return;
      event.stopImmediatePropagation();
      if (kind === "input") return;
      one.value = one.min;
      one.dispatchEvent(new Event("input", { bubbles: true }));
    }, true);
  // Too many files are refused before they are sent.
  const refuse = (event) => {
    const place = event.target.closest?.(".many");
    const files = (event.dataTransfer ?? event.target).files;
    if (!place || !files?.length) return;
    const said = document.querySelector(".refused");
    const [most, room] = ["most", "room"].map((name) => Number(said.dataset[name]));
    const bytes = [...files].reduce((sum, file) => sum + file.size, 0);
    said.textContent = "";
    if (files.length > most)
      said.textContent = `${files.length} pictures are too many at once: choose at most ${most}.`;
    else if (bytes > room)
      said.textContent = `${Math.ceil(bytes / 1e6)} MB are too much at once: choose fewer.`;
    else return;
    event.stopImmediatePropagation();
    event.preventDefault();
    if (event.type === "change") event.target.value = "";
  };
  addEventListener("change", refuse, true);
  addEventListener("drop", refuse, true);
}
