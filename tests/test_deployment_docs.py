"""What docs/deployment.md and deploy/ tell an operator to type is what Flower and TLS take."""

import importlib
import re
import shlex
import shutil
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.cli.supernode.register import try_load_public_key
from flwr.common.config import parse_config_args

from fl_ef21.engine.certificates import make_certificates, make_node_key

REPOSITORY = Path(__file__).parent.parent
PAGE = (REPOSITORY / "docs" / "deployment.md").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((REPOSITORY / "deploy" / "compose.yml").read_text(encoding="utf-8"))


def block(name: str) -> str:
    """Return the code block of the page that a comment names."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, name
    return found.group(1)


def exec_start(unit: str) -> list[str]:
    found = re.search(r"ExecStart=(.*?)\n(?=[A-Z])", unit, re.DOTALL)
    assert found is not None
    return shlex.split(found.group(1).replace("\\\n", " "))


def parsed(command: list[str], monkeypatch: pytest.MonkeyPatch):
    """Return what Flower's own parser makes of a command."""
    kind = Path(command[0]).name.removeprefix("flower-")
    module = importlib.import_module(f"flwr.{kind}.cli.flower_{kind}")
    monkeypatch.setattr(sys, "argv", command)
    return getattr(module, f"_parse_args_run_{kind}")().parse_args(command[1:])


def compose_command(service: str) -> list[str]:
    command = COMPOSE["services"][service]["command"]
    if command[:2] != ["sh", "-c"]:
        return command
    script = command[2].replace("$$", "$")
    echo = ["sh", "-c", re.sub(r"^exec (\S+)", r"printf '%s\\n' \1", script)]
    variables = {"SUPERLINK": "fl.example.org:9443", "CLIENT_ID": "hospital-a"}
    said = subprocess.run(echo, env=variables, capture_output=True, text=True, check=True)
    return said.stdout.splitlines()


@pytest.mark.parametrize(
    "command", [exec_start(block("superlink")), compose_command("superlink")], ids=["page", "image"]
)
def test_the_superlink_asks_for_keys_and_keeps_them(command, monkeypatch) -> None:
    options = parsed(command, monkeypatch)
    assert options.enable_supernode_auth
    assert options.database == "/var/lib/fl-ef21/superlink.db"
    assert options.ssl_keyfile == "/etc/fl-ef21/server.key"
    assert options.port == 8000


@pytest.mark.parametrize(
    "command", [exec_start(block("supernode")), compose_command("supernode")], ids=["page", "image"]
)
def test_a_supernode_has_a_key_a_name_and_a_place_for_its_state(command, monkeypatch) -> None:
    options = parsed(command, monkeypatch)
    assert options.superlink == "fl.example.org:9443"
    assert options.root_certificates == "/etc/fl-ef21/ca.crt"
    assert options.auth_supernode_private_key == "/etc/fl-ef21/node.key"
    config = parse_config_args([options.node_config])
    assert config["client-id"] == "hospital-a"
    assert config["state-dir"].startswith("/var/lib/fl-ef21")


def test_a_supernode_without_a_name_does_not_start() -> None:
    script = COMPOSE["services"]["supernode"]["command"][2].replace("$$", "$")
    given = {"SUPERLINK": "fl.example.org:9443"}
    said = subprocess.run(
        ["sh", "-c", script], env=given, capture_output=True, text=True, check=False
    )
    assert said.returncode != 0
    assert "a name that no other client has" in said.stderr


def test_only_what_supernodes_need_is_seen_from_elsewhere() -> None:
    published = {name: each.get("ports", []) for name, each in COMPOSE["services"].items()}
    assert published.pop("gate") == ["9443:8443"]
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    gate = (REPOSITORY / "deploy" / "gate.conf").read_text()
    assert re.findall(r"location (\S+) \{\s+(\w+)", gate) == [
        ("/v1/fleet/", "proxy_pass"),
        ("/", "return"),
    ]


def test_volumes_and_files_are_there() -> None:
    services = COMPOSE["services"].values()
    mounted = [volume.split(":")[0] for each in services for volume in each["volumes"]]
    assert {name for name in mounted if "/" not in name} == COMPOSE["volumes"].keys()
    assert (REPOSITORY / "deploy" / "gate.conf").is_file()
    for line in (REPOSITORY / "deploy" / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            *sources, _ = line.split()[1:]
            assert all((REPOSITORY / source).exists() for source in sources)


def handshake(authority: Path, certificate: Path, key: Path, name: str) -> None:
    """Let a client and a server shake hands in memory; raise what a client would."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)
    client_side = ssl.create_default_context(cafile=str(authority))
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does by itself
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    client = client_side.wrap_bio(to_client, to_server, server_hostname=name)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_certificates_of_the_page_are_good_for_all_who_connect(tmp_path: Path) -> None:
    subprocess.run(
        ["bash", "-ec", block("certificates")], cwd=tmp_path, check=True, capture_output=True
    )
    files = [tmp_path / name for name in ("ca.crt", "server.pem", "server.key")]
    for name in ("fl.example.org", "localhost", "127.0.0.1"):
        handshake(*files, name)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.example\.org"):
        handshake(*files, "other.example.org")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_the_key_of_the_page_is_one_that_flower_takes(tmp_path: Path) -> None:
    subprocess.run(["bash", "-ec", block("key")], cwd=tmp_path, check=True, capture_output=True)
    assert try_load_public_key(tmp_path / "node.key.pub")


def test_made_certificates_are_good_for_their_address_alone(tmp_path: Path) -> None:
    made = make_certificates(tmp_path, "127.0.0.1")
    handshake(made.authority, made.certificate, made.key, "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"127\.0\.0\.2"):
        handshake(made.authority, made.certificate, made.key, "127.0.0.2")
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    with pytest.raises(ValueError, match="localhost"):
        make_certificates(tmp_path, "localhost")


def test_a_made_key_is_one_that_flower_takes(tmp_path: Path) -> None:
    public = make_node_key(tmp_path / "node.key")
    assert try_load_public_key(public)
    assert load_ssh_private_key((tmp_path / "node.key").read_bytes(), None).key_size == 384
    assert stat.S_IMODE((tmp_path / "node.key").stat().st_mode) == 0o600
