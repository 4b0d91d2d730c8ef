#!/usr/bin/env python3
"""Runs the commands of the documents. docs_commands_test.sh starts it in namespaces of its own:
the fixed ports and addresses of the documents are free there, /etc and /var/lib are copies, and the
end of this process ends all others.

    docs_commands.py BIN [DOCUMENT…]

A fenced block without a language holds commands. A comment in the line before it can say more:

    <!-- not run: REASON -->      the block is not run; the test counts and prints the reasons
    <!-- run: service -->         runs in the background until the end of the document
    <!-- run: N s -->             must still run after N seconds; is then stopped by SIGTERM

A block `console` has commands after "$ "; the lines after a command are its output, in which "…"
stands for any text. Other languages are no commands (text, cpp, yaml, promql).

Programs that change the machine have stand-ins: apt installs nothing, and systemctl runs the unit of
deploy/systemd/ with /etc/dqueue/dqueue.env and the account dqueue.

The blocks of a document run in one shell, in order, with `set -euo pipefail` and curl's
--fail, in a directory that looks like a checkout with built programs. SETUPS says what a
document needs before its commands, and what must hold after them.
"""

import dataclasses
import fcntl
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
DOCUMENTS = os.environ.get("DOCUMENTS", ROOT)  # another directory in a test of this test
LANGUAGES = {"", "console", "text", "cpp", "yaml", "promql"}
# A block without commands must not hide one.
COMMAND = re.compile(r"^\s*(\$ |(sudo )?(\S*/)?(dqueue --|(dqueue-[a-z]+|curl|openssl|systemctl|apt|cmake|\S+\.sh)\s))")
DOCUMENT_LIMIT_S = 180  # of one document; 15 s as a rule, ten times as long under a sanitizer
# These blocks are known not to run. A new reason needs a line here, so that none slips in.
NOT_RUN_MAX = 9


@dataclasses.dataclass
class Block:
    document: str
    line: int  # of the fence
    language: str
    marker: str  # "", or the text of the comment
    text: str

    @property
    def place(self):
        return f"{self.document}:{self.line}"


def fail(message):
    print(f"FAILED: {message}", file=sys.stderr)
    sys.exit(1)


def read_blocks(document):
    """The fenced blocks of a document. Ends the test for a block that this test cannot judge."""
    blocks, fence, before = [], None, ""
    with open(os.path.join(DOCUMENTS, document), encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if fence is None and line.startswith("```"):
                marker = re.fullmatch(r"<!-- ((?:not )?run: .*) -->", before)
                fence = Block(document, number, line[3:].strip(), marker[1] if marker else "", "")
            elif fence is not None and line.startswith("```"):
                blocks.append(fence)
                fence = None
            elif fence is not None:
                fence.text += line + "\n"
            elif line.startswith("    ") and before == "":
                fail(f"{document}:{number}: an indented block; write a fenced one")
            before = line
    if fence is not None:
        fail(f"{fence.place}: the block has no end")
    for block in blocks:
        if block.language not in LANGUAGES:
            fail(f"{block.place}: unknown language {block.language!r}; one of {sorted(LANGUAGES)}")
        if block.language not in ("", "console"):
            for line in block.text.splitlines():
                if COMMAND.match(line):
                    fail(f"{block.place}: a command in a block of the language {block.language}: {line}")
    return blocks


# One node as in `dqueue --id dev --bootstrap`. Clients need no key.
ONE_NODE = """
dqueue --id dev --bootstrap --data-dir node >node.log 2>&1 &
until curl localhost:8080/ready >/dev/null 2>&1; do sleep 0.05; done
"""
# The same with keys.
ONE_NODE_WITH_KEYS = """
(umask 077; dqueue-cli key generate >first.key)
dqueue --id dev --bootstrap --data-dir node --auth on --admin-key-file first.key >node.log 2>&1 &
export DQUEUE_API_KEY_FILE=$PWD/first.key
until dqueue-cli key list >/dev/null 2>&1; do sleep 0.05; done
"""
# Nodes n2 and n3 of tls.md and install.md, beside the n1 of the document.
OTHER_NODES = """
other_nodes() {  # PEERS CA ADMIN-KEY
  local i
  for i in 2 3; do
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=n$i" \\
      -addext "subjectAltName=DNS:n$i,DNS:queue-$i.example.org,IP:10.0.0.$i" -keyout n$i.key -out n$i.csr
    openssl x509 -req -in n$i.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 90 -copy_extensions copy -out n$i.crt
    dqueue --id n$i --bootstrap --data-dir data-n$i --peers "$1" --tls-cert n$i.crt --tls-key n$i.key --tls-ca "$2" \\
      --admin-key-file "$3" --grpc-addr 10.0.0.$i:9090 --http-addr 10.0.0.$i:8080 >n$i.log 2>&1 &
  done
}
"""


@dataclasses.dataclass
class Setup:
    before: str = ""  # commands before the first block
    # Commands by a text of a block: before it, and after it.
    before_block: dict = dataclasses.field(default_factory=dict)
    after_block: dict = dataclasses.field(default_factory=dict)
    replace: list = dataclasses.field(default_factory=list)  # (regex, replacement) in commands
    first: tuple = ()  # texts of blocks that run before all others


SETUPS = {
    "README.md": Setup(
        before=ONE_NODE,
        after_block={
            "dqueue-cli enqueue -type email": """
                dqueue-cli list | grep email
                dqueue-cli stats | grep '^reports .* yes$'""",
            "curl -X POST localhost:8080/tasks": "curl localhost:8080/stats | grep '\"total\"'",
            # The result is the output of the command: the length of the payload.
            "dqueue-worker --queue default": """
                dqueue-cli list --state succeeded --full -o json | grep '"type":"email"'
                id=$(dqueue-cli list --state succeeded -o json | jq -r '.jobs[0].id')
                dqueue-cli get "$id" | grep -E 'result: +25'""",
            # The targets of deploy/prometheus/prometheus.yml are these nodes.
            "for i in 1 2 3": """
                dqueue-cli --server 127.0.0.1:9191 status | grep -cE '^n[123] ' | grep -x 3
                targets=$(grep -oE 'localhost:[0-9]+' deploy/prometheus/prometheus.yml)
                [[ $(wc -w <<<"$targets") == 3 ]]
                for target in $targets; do curl "http://$target/metrics" | grep '^dqueue_build_info'; done""",
        },
    ),
    "docs/http.md": Setup(
        before=ONE_NODE
        + """
        # Remembers the id in the answer to the first request of a block.
        curl() { command curl "$@" | tee answer; grep -oE '"id":"[^"]+"' answer | head -n 1 | cut -d'"' -f4 >>ids || true; }
        job_id() { head -n 1 ids; }
        """,
        replace=[(r"/tasks/ID\b", r"/tasks/$(job_id)"), (r'\["ID"\]', "[\"'$(job_id)'\"]")],
        before_block={
            "v1/jobs:retry": """
                : >ids
                curl -X POST localhost:8080/v1/jobs -H 'Content-Type: application/json' -d '{"type":"x"}' >/dev/null
                dqueue-cli cancel "$(job_id)" >/dev/null"""
        },
        after_block={
            "/tasks/ID/ack": "dqueue-cli get \"$(job_id)\" | grep -E 'state: +SUCCEEDED'",
            "v1/jobs:retry": "dqueue-cli get \"$(job_id)\" | grep -E 'state: +READY'",
            "curl -N localhost:8080/events": "grep '^event: stats' limited.log && grep '^event: cluster' limited.log",
        },
    ),
    "docs/security.md": Setup(
        before_block={"dqueue-cli key create": "until dqueue-cli --api-key-file admin.key key list; do sleep 0.05; done"},
        replace=[(r"revoke ID\b", "revoke $(dqueue-cli key list -o json | jq -r '.keys[] | select(.name == \"ci\").id')")],
        after_block={
            "dqueue-cli key create": """
                dqueue-cli key list --revoked -o json | jq -e '.keys[] | select(.name == "ci").revoke_time != null'
                dqueue-cli key list -o json | jq -e '[.keys[] | select(.name == "mailer")] | length == 1'
                # The line of the audit log that the document shows.
                (umask 077; dqueue-cli key create --name ops --owner ops --type admin >ops.key)
                dqueue-cli --api-key-file ops.key enqueue --queue mail
                dqueue-cli --api-key-file ops.key purge --queue mail --yes
                line=$(sed -nE 's/[{}]/\\\\&/g; s/admin_…/admin_[A-Za-z0-9]+/; s/10\\.0\\.0\\.7/127.0.0.1/; /^audit: PurgeQueue/p' docs/security.md)
                grep -E "$line" service-*.log"""
        },
    ),
    "docs/monitoring.md": Setup(
        before=ONE_NODE_WITH_KEYS,
        after_block={
            "--name prometheus": """
                [[ $(stat -c %a prom.key) == 600 ]]
                curl -H "Authorization: Bearer $(<prom.key)" localhost:8080/metrics | grep '^dqueue_raft_is_leader'
                ! curl localhost:8080/metrics"""
        },
    ),
    "docs/tls.md": Setup(
        before=OTHER_NODES + "export DQUEUE_GRPC_ADDR=10.0.0.1:9090 DQUEUE_HTTP_ADDR=10.0.0.1:8080\n",
        first=("-keyout ca.key", "-keyout n1.key"),
        before_block={
            "dqueue --id n1": "other_nodes n1=10.0.0.1:9090,n2=10.0.0.2:9090,n3=10.0.0.3:9090 ca.crt admin.key",
            "curl --cacert ca.crt": """
                until curl --cacert ca.crt https://10.0.0.1:8080/ready >/dev/null 2>&1; do sleep 0.05; done
                until dqueue-cli --server https://10.0.0.2:9090 --ca ca.crt --api-key-file admin.key key list; do sleep 0.05; done""",
        },
        after_block={
            # Each node answers for itself, once it has applied the admin key.
            "curl --cacert ca.crt": """
                for i in 1 2 3; do
                  until curl --cacert ca.crt -H "Authorization: Bearer $(<admin.key)" https://10.0.0.$i:8080/metrics >/dev/null 2>&1; do sleep 0.05; done
                done
                dqueue-cli --server https://10.0.0.1:9090 --ca ca.crt status | grep -cE '^n[123] ' | grep -x 3"""
        },
    ),
    "docs/workers.md": Setup(
        before=ONE_NODE
        + """
        printf '#!/bin/sh\\ncat >>mails\\n' >send-mail
        chmod +x send-mail
        dqueue-cli enqueue --queue mail --payload a-mail >/dev/null
        """,
        after_block={
            "dqueue-worker --queue mail": """
                [[ $(<mails) == a-mail ]]
                dqueue-cli list --queue mail --state succeeded -o json | jq -e '.jobs | length == 1'""",
        },
    ),
    "docs/install.md": Setup(
        before=OTHER_NODES,
        before_block={
            # The package brings this file.
            "DQUEUE_BOOTSTRAP=true >>": "mkdir -p /etc/dqueue; cp deploy/systemd/dqueue.env /etc/dqueue/dqueue.env",
            "cat >> /etc/dqueue/dqueue.env": """
                systemctl stop dqueue
                rm -rf /var/lib/dqueue
                cp deploy/systemd/dqueue.env /etc/dqueue/dqueue.env
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \\
                  -subj "/CN=dqueue peers" -keyout ca.key -out ca.crt
                openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=n1" \\
                  -addext "subjectAltName=DNS:n1,DNS:queue-1.example.org,IP:10.0.0.1" -keyout n1.key -out n1.csr
                openssl x509 -req -in n1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 90 -copy_extensions copy -out n1.crt
                # One machine has three nodes here, so none may listen at all addresses.
                export STUB_ENVIRONMENT='DQUEUE_GRPC_ADDR=10.0.0.1:9090 DQUEUE_HTTP_ADDR=10.0.0.1:8080'""",
        },
        after_block={
            "DQUEUE_BOOTSTRAP=true >>": "dqueue-cli enqueue",
            "cat >> /etc/dqueue/dqueue.env": """
                other_nodes n1=queue-1.example.org:9090,n2=queue-2.example.org:9090,n3=queue-3.example.org:9090 ca.crt admin.key
                until curl --cacert ca.crt https://queue-1.example.org:8080/ready >/dev/null 2>&1; do sleep 0.05; done
                until dqueue-cli --server https://queue-2.example.org:9090 --ca ca.crt --api-key-file admin.key enqueue; do sleep 0.1; done""",
            "until curl": "[[ $(systemctl starts) == 3 ]]",
        },
    ),
}

# Runs the service of deploy/systemd/ in place of systemd.
SYSTEMCTL = r"""#!/bin/bash
set -euo pipefail
state=%(work)s/service
mkdir -p "$state"
stop() {
  [[ -f $state/pid ]] || return 0
  kill -TERM "$(<"$state/pid")" 2>/dev/null || true
  # Until it has ended; nobody may have waited for it.
  while grep -qs '^State:[[:space:]][^Z]' "/proc/$(<"$state/pid")/status"; do sleep 0.02; done
  rm "$state/pid"
}
start() {
  local settings command
  mapfile -t settings < <(grep -E '^[A-Z_]+=' /etc/dqueue/dqueue.env)
  read -ra command < <(sed -n 's|^ExecStart=/usr/bin/|%(work)s/|p' %(root)s/deploy/systemd/dqueue.service)
  install -d -m 0700 %(owner)s /var/lib/dqueue
  # shellcheck disable=SC2086
  setsid env -i PATH="$PATH" "${settings[@]}" ${STUB_ENVIRONMENT:-} %(as_account)s "${command[@]}" >>"$state/log" 2>&1 </dev/null &
  echo $! >"$state/pid"
  echo start >>"$state/starts"
}
case "$*" in
  "enable --now dqueue") start ;;
  "restart dqueue") stop; start ;;
  "stop dqueue") stop ;;
  starts) wc -l <"$state/starts" ;;
  *) echo "systemctl $*: not in the test" >&2; exit 1 ;;
esac
"""
APT = """#!/bin/bash
[[ $1 == install && $2 == ./dqueue_* ]]
"""


def console_commands(text):
    """The commands of a console block, and for each its expected output."""
    commands = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append([line[2:], ""])
        elif commands and commands[-1][0].endswith("\\"):
            commands[-1][0] += "\n" + line
        elif commands:
            commands[-1][1] += line + "\n"
    return commands


def output_pattern(expected):
    return ".*".join(re.escape(part) for part in expected.split("…"))


def script_of(document, blocks, work):
    """The shell script of a document, and the expected outputs by file."""
    setup = SETUPS.get(document, Setup())
    outputs = {}
    script = ["set -euo pipefail", setup.before]

    def of(table, block):
        return [commands for text, commands in table.items() if text in block.text]

    def commands_of(block):
        text = block.text
        for regex, replacement in setup.replace:
            text = re.sub(regex, lambda _, r=replacement: r, text)
        if block.marker == "run: service":
            return f"{{\n{text}}} >service-{block.line}.log 2>&1 &"
        if limited := re.fullmatch(r"run: (\d+) s", block.marker):
            return (
                f"code=0; timeout {limited[1]} bash -c {shlex.quote(text)} >limited.log 2>&1 || code=$?\n"
                f"[[ $code == 124 ]] || {{ cat limited.log; echo \"ended by itself: $code\"; exit 1; }}"
            )
        if block.language == "console":
            lines = []
            for number, (command, expected) in enumerate(console_commands(text)):
                name = f"output-{block.line}-{number}"
                outputs[name] = (block, command, expected)
                lines.append(f"{{ {command}\n}} >{name} 2>&1")
            return "\n".join(lines)
        return text

    run = [b for b in blocks if b.language in ("", "console") and not b.marker.startswith("not run:")]
    early = [b for text in setup.first for b in run if text in b.text]
    for block in early + [b for b in run if b not in early]:
        script.append(f"echo '@@ {block.place}' >&2")
        script += of(setup.before_block, block)
        script.append(commands_of(block))
        script += of(setup.after_block, block)
    for table in (setup.before_block, setup.after_block):
        for text in table:
            if not any(text in b.text for b in run):
                fail(f"{document}: no block that runs has {text!r}, which SETUPS names")
    return "\n".join(script) + "\n", outputs


def stop_all():
    """Ends all processes of this namespace but this one, which is its process 1."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def run_document(document, blocks, work, programs):
    # What an earlier document left on the machine.
    for left in ("var-lib/dqueue", "etc/dqueue", "service"):
        shutil.rmtree(os.path.join(work, left), ignore_errors=True)
    directory = os.path.join(work, document.replace("/", "-"))
    os.makedirs(os.path.join(directory, "build/release"))
    os.symlink(programs, os.path.join(directory, "build/release/bin"))
    for name in ("scripts", "docs", "deploy", "client"):
        os.symlink(os.path.join(ROOT, name), os.path.join(directory, name))
    script, outputs = script_of(document, blocks, work)
    path = os.path.join(work, "script")
    with open(path, "w", encoding="utf-8") as file:
        file.write(script)
    environment = {
        "PATH": f"{work}/stubs:{programs}:{os.environ['PATH']}",
        "HOME": work,
        "CURL_HOME": work,
        "LANG": "C.UTF-8",
        # Without its suppressions the thread sanitizer reports races of libraries.
        **{name: os.environ[name] for name in ("ASAN_OPTIONS", "TSAN_OPTIONS") if name in os.environ},
    }
    log = os.path.join(work, "log")
    start = time.monotonic()
    with open(log, "wb") as out:
        shell = subprocess.Popen(["bash", path], cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            status = shell.wait(DOCUMENT_LIMIT_S)
        except subprocess.TimeoutExpired:
            status = f"no end after {DOCUMENT_LIMIT_S} s"
    stop_all()
    with open(log, encoding="utf-8", errors="replace") as file:
        text = file.read()
    if status != 0:
        place = re.findall(r"^@@ (\S+)$", text, re.MULTILINE)
        print(text[-4000:], file=sys.stderr)
        for name in sorted(os.listdir(directory)):
            if name.endswith(".log"):
                with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as file:
                    print(f"--- {name}\n{file.read()[-1500:]}", file=sys.stderr)
        fail(f"the commands of {place[-1] if place else document} ({status})")
    for name, (block, command, expected) in outputs.items():
        with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as file:
            output = file.read()
        if not re.fullmatch(output_pattern(expected), output, re.DOTALL):
            fail(f"{block.place}: the output of {command} is not as shown:\n{output}")
    return time.monotonic() - start


def can_chown(work):
    path = os.path.join(work, "owned")
    open(path, "w", encoding="utf-8").close()
    try:
        os.chown(path, 61234, 61234)
        return True
    except OSError:
        return False


def set_up_loopback():
    """Turns the loopback interface on, with 127.0.0.1 and 10.0.0.0/8."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        up_and_running = struct.pack("16sH", b"lo", 0x49)
        fcntl.ioctl(device, 0x8914, up_and_running)  # SIOCSIFFLAGS
        for request, value in ((0x8916, "10.0.0.1"), (0x891C, "255.0.0.0")):  # SIOCSIFADDR, SIOCSIFNETMASK
            address = struct.pack("16sH2s4s8s", b"lo:1", socket.AF_INET, b"", socket.inet_aton(value), b"")
            fcntl.ioctl(device, request, address)


def prepare_machine(work, programs):
    """Makes /etc and /var/lib of this namespace, with names for the addresses of the documents."""
    set_up_loopback()
    account = can_chown(work)
    shutil.copytree("/etc", f"{work}/etc", symlinks=True, ignore_dangling_symlinks=True, ignore=unreadable)
    with open(f"{work}/etc/hosts", "a", encoding="utf-8") as hosts:
        hosts.write("127.0.0.1 localhost\n" + "".join(f"10.0.0.{i} queue-{i}.example.org\n" for i in (1, 2, 3)))
    if account:
        with open(f"{work}/etc/passwd", "a", encoding="utf-8") as file:
            file.write("dqueue:x:61234:61234::/var/lib/dqueue:/bin/false\n")
    os.makedirs(f"{work}/var-lib")
    os.chmod(work, 0o755)
    for source, target in ((f"{work}/etc", "/etc"), (f"{work}/var-lib", "/var/lib")):
        subprocess.run(["mount", "--bind", source, target], check=True)
    os.makedirs(f"{work}/stubs")
    shutil.copy(f"{programs}/dqueue", work)  # where the account can reach it
    stubs = {
        "systemctl": SYSTEMCTL % {
            "work": work, "root": ROOT,
            "owner": "-o dqueue" if account else "",
            "as_account": "setpriv --reuid=61234 --regid=61234 --clear-groups" if account else "",
        },
        "apt": APT,
    }
    if not account:
        stubs["install"] = '#!/bin/bash\nargs=()\nfor a; do [[ $a == -o || $a == dqueue ]] || args+=("$a"); done\n/usr/bin/install "${args[@]}"\n'
    for name, text in stubs.items():
        path = f"{work}/stubs/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)
    with open(f"{work}/.curlrc", "w", encoding="utf-8") as file:
        file.write("silent\nshow-error\nfail\n")


def unreadable(directory, names):
    return [n for n in names if not os.access(os.path.join(directory, n), os.R_OK, follow_symlinks=True)]


def main():
    programs = os.path.realpath(sys.argv[1])
    listed = subprocess.run(
        ["find", "README.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "deploy", "-name", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    documents = sys.argv[2:] or sorted(listed)
    work = tempfile.mkdtemp(prefix="dqueue-docs-")
    try:
        run_all(documents, work, programs, whole=len(sys.argv) == 2)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def run_all(documents, work, programs, whole):
    prepare_machine(work, programs)
    run = 0
    not_run = []
    for document in documents:
        blocks = read_blocks(document)
        not_run += [b for b in blocks if b.marker.startswith("not run:")]
        commands = [b for b in blocks if b.language in ("", "console") and not b.marker.startswith("not run:")]
        if not commands:
            continue
        seconds = run_document(document, blocks, work, programs)
        run += len(commands)
        print(f"{document}: {len(commands)} blocks in {seconds:.1f} s")
    for block in not_run:
        print(f"{block.place}: {block.marker}")
    print(f"passed: {run} blocks ran, {len(not_run)} blocks say why they do not")
    if whole and len(not_run) > NOT_RUN_MAX:
        fail(f"{len(not_run)} blocks are not run; at most {NOT_RUN_MAX} are expected")


if __name__ == "__main__":
    main()
