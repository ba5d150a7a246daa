"""A second verifier of bundles, written from docs/audit-format.md alone: it shares no line with the first one.

Usage: ``second_verifier.py BUNDLE POLICY``. Ends with 0: as the log signed it, 1: tampered, 3: no key of the policy.
It decides nothing anew, holds no counts, writes no page, never warns: docs/audit-format.md, "The second verifier".
"""

import base64
import hashlib
import json
import sys
import zipfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

V1 = set("v type id stream seq prev ws env run op at_us rec_us actor data commit".split())  # noqa: SIM905 - it fits a line
ALWAYS = {"index.html", "manifest.json", "checkpoint", "policy", "events.jsonl", "items.jsonl", "checks.jsonl"}
SYSTEM = set("machine.defined audit.key_rotated audit.gap_declared audit.restore_declared audit.pruned".split())  # noqa: SIM905 - as above
BIRTHS = {"restore.run.created": "draft", "restore.operation.created": "queued", "restore.evidence.created": "queued"}
canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
MOVES = {f"restore.{machine}.transitioned": machine for machine in ("run", "operation", "evidence")}


def demand(condition, what):
    if not condition:
        raise ValueError(what)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def read_json(data):
    demand(canonical(value := json.loads(data)).encode() == data, "JSON that is not in canonical form")
    return value


def from_base64(text):
    demand(base64.b64encode(value := base64.b64decode(text, validate=True)).decode() == text, "Base64 in another form")
    return value


def parse_key(text):
    name, key_id, coded = text.split("+", 2)
    demand((value := from_base64(coded))[0] == 1 and sha(name.encode(), b"\n", value)[:4].hex() == key_id, "key")
    return name, value[1:]


def parse_policy(text):
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {words[1]: parse_key(words[1]) for words in lines if words[0] == "log" and ["quorum", "none"] in lines}


def open_note(note, keys):
    (text, _, lines), signers = note.replace("\n\n", "\n\0").rpartition("\0"), []
    for dash, name, coded in (line.split(" ") for line in lines.removesuffix("\n").split("\n")):
        value = from_base64(coded)
        for full, (known, key) in keys.items():
            plain, timed = (sha(known.encode(), b"\n", bytes([kind]), key)[:4] for kind in (1, 4))
            if (dash, name, value[:4]) == ("—", known, plain):
                Ed25519PublicKey.from_public_bytes(key).verify(value[4:], text.encode())
                signers.append(full)
            if (dash, name, value[:4]) == ("—", known, timed):
                message = f"cosignature/v1\ntime {int.from_bytes(value[4:12], 'big')}\n{text}".encode()
                Ed25519PublicKey.from_public_bytes(key).verify(value[12:], message)
    return text, signers


def open_checkpoint(note, keys):
    text, signers = open_note(note, keys)
    origin, size, root = text.split("\n")[:3]
    demand(all(keys[full][0] == origin for full in signers) and str(int(size)) == size, "checkpoint")
    return origin, int(size), from_base64(root), signers


def root_of(leaf, index, size, proof):  # RFC 6962, 2.1.1
    if size == 1:
        demand(index == 0 and not proof, "proof")
        return leaf
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return sha(b"\x01", root_of(leaf, index, half, proof[:-1]), proof[-1])
    return sha(b"\x01", proof[-1], root_of(leaf, index - half, size - half, proof[:-1]))


def roots_of(old, size, proof, whole):  # RFC 6962, 2.1.2; whole: the root of the old tree, as long as it is a node
    if old == size:
        demand(len(proof) == (whole is None), "proof")
        return [whole or proof[0]] * 2
    half = 1 << (size - 1).bit_length() - 1
    if old <= half:
        first, second = roots_of(old, half, proof[:-1], whole)
        return [first, sha(b"\x01", second, proof[-1])]
    return [sha(b"\x01", proof[-1], root) for root in roots_of(old - half, size - half, proof[:-1], None)]


def check_manifest(files, keys, signers):
    envelope = read_json(files["manifest.json"])
    payload, (signed,) = from_base64(envelope["payload"]), envelope["signatures"]
    demand([*envelope] == ["payload", "payloadType", "signatures"] and [*signed] == ["keyid", "sig"], "envelope")
    demand(signed["keyid"] in signers and envelope["payloadType"] == "application/vnd.in-toto+json", "envelope")
    key, message = keys[signed["keyid"]][1], b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(payload), payload)
    Ed25519PublicKey.from_public_bytes(key).verify(from_base64(signed["sig"]), message)
    statement = read_json(payload)
    named = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    found = {name: sha(data).hex() for name, data in files.items() if name != "manifest.json"}
    demand(named == found and statement["predicateType"] == "urn:proofgap:bundle:v1", "a file is not the signed one")
    return statement["predicate"]


def check_meaning(event, edges, state, keys):
    data, kind = event["data"], event["type"]
    if kind == "machine.defined":
        guards = {tuple(row[:3]): row[3] for row in data["guards"]}
        rows = [[*edge, guards.get(tuple(edge), [])] for edge in data["edges"]]
        known = canonical({"machine": data["machine"], "edges": rows}).encode()
        demand(sha(known).hex() == data["definition"], "definition")
        edges[data["machine"]] = {data["definition"]: data["edges"]}
    elif kind == "audit.key_rotated":
        demand([data["previous"]] == (keys[-1:] or [None]), "key after another one")
        word = ("proofgap key rotation\n{}\n{}\n".format(data["key"].split("+")[0], data["key"]), keys[-1:])
        demand(not keys or open_note(data["endorsement"], {keys[-1]: parse_key(keys[-1])}) == word, "no endorsement")
        keys.append(data["key"])
    elif kind in MOVES:
        demand([data["source"], data["event"], data["target"]] in edges[MOVES[kind]][data["definition"]], "move")
        demand(state[data["subject"]] == (data["source"], data["version"] - 1), "move from where it was not")
        state[data["subject"]] = (data["target"], data["version"])
    elif kind in BIRTHS or kind.endswith(".imported"):
        demand(data["subject"] not in state and data["target"] == BIRTHS.get(kind, data["target"]), "birth")
        state[data["subject"]] = (data["target"], data.get("version", 1))
    elif kind == "restore.decision.projected":
        facts, is_view = data["facts"], data["trigger"] in {"show", "list"}
        demand(sha(canonical(facts).encode()).hex() == data["facts_digest"], "other facts")
        for row in filter(None, () if is_view else (facts["run"], facts["operation"], *facts["evidence"])):
            demand(state.get(row["id"], (row["status"],))[0] == row["status"], "facts that were not the case")


def check_events(files, size, root, facts):
    payloads, last, heads, digests = files["events.jsonl"].split(b"\n")[:-1], -1, {}, {"item": {}, "check": {}}
    edges, state, keys, run = {}, {}, [], facts["run"]
    stream_of_run, views = f"run/{run}", "view/" + run.replace("%", "%25").replace("/", "%2F") + "/"
    names = [f"proofs/{number:06}.tlog-proof" for number, _ in enumerate(payloads)]
    demand(ALWAYS.union(names) == files.keys() - {"consistency"}, "files are missing, or foreign")
    for name, payload in zip(names, payloads, strict=True):
        head, _, note = files[name].decode().partition("\n\n")
        header, place, *hashes = head.split("\n")
        index, leaf, event = int(place.removeprefix("index ")), sha(b"\0", payload), read_json(payload)
        demand(header == "c2sp.org/tlog-proof@v1" and note.encode() == files["checkpoint"] and index > last, "proof")
        demand(event.keys() == V1 and root_of(leaf, index, size, [*map(from_base64, hashes)]) == root, "no such event")
        last, stream = index, event["stream"]
        if not stream.startswith("system/") or event["type"] not in SYSTEM:
            demand(stream == stream_of_run or stream.startswith(views), "stream of another run")
            demand((event["seq"], event["prev"]) == heads.get(stream, (0, "0" * 64)), "an event is missing")
            heads[stream] = (event["seq"] + 1, leaf.hex())
        check_meaning(event, edges, state, keys)
        if "rows_digest" in event["data"]:
            digests["item" if event["data"]["subject"] == run else "check"][index] = event["data"]["rows_digest"]
    ends = {end["stream"]: (end["events"], end["head"]) for end in facts["streams"]}
    demand(ends == heads and stream_of_run in heads, "end of a stream")
    for kind, expected in digests.items():
        rows = {index: [] for index in expected}
        for row in map(read_json, files[f"{kind}s.jsonl"].split(b"\n")[:-1]):
            demand(row.keys() == {"event", kind}, "row")
            rows[row["event"]].append(row[kind])
        demand({index: sha(canonical(found).encode()).hex() for index, found in rows.items()} == expected, "rows")
    return keys[-1]


def verify(files, policy, *, is_own=False):
    keys = parse_policy(policy)
    origin, size, root, signers = open_checkpoint(files["checkpoint"].decode(), keys)
    if not signers:
        demand(not is_own, "signed by a key that it does not name itself")
        return verify(files, files["policy"].decode(), is_own=True) or 3  # is it at least what it says of itself?
    facts = check_manifest(files, keys, signers)
    demand((facts["origin"], facts["checkpoint"]) == (origin, {"size": size, "root": root.hex()}), "another checkpoint")
    demand({check_events(files, size, root, facts)} == set(signers), "signed by a key that is not in force")
    demand((facts["previous"] is None) == ("consistency" not in files), "consistency")
    if not facts["previous"]:
        return 0
    head, _, note = files["consistency"].decode().partition("\n\n")
    name, old_size, old_root, known = open_checkpoint(note, keys)
    header, *hashes = head.split("\n")
    same = facts["previous"] == {"size": old_size, "root": old_root.hex()}
    demand(same and (header, name) == ("proofgap consistency v1", origin), "another earlier checkpoint")
    demand(roots_of(old_size, size, [*map(from_base64, hashes)], old_root) == [old_root, root], "did not only grow")
    return 0 if known else 3


if __name__ == "__main__":
    try:
        with zipfile.ZipFile(sys.argv[1]) as archive:
            sizes, names = {entry.filename: entry.file_size for entry in archive.infolist()}, archive.namelist()
            demand(len(sizes) == len(names) <= 200_000 and sum(sizes.values()) <= 2**30, "names twice, or too large")
            found = {name: archive.read(name) for name in names}
        sys.exit(verify(found, Path(sys.argv[2]).read_text("utf-8")))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a bundle, it is not as it was signed
        sys.exit(f"TAMPERED: {type(error).__name__}: {error}")
