import shutil
import stat
import tomllib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.deployment.certificates import (
    load_certificate,
    load_node_key,
    public_key,
    renew_node_key,
    renew_server_certificate,
)
from collab_asd.deployment.consortium import Consortium, agreement_text
from collab_asd.deployment.settings import NodeSettings, ServerSettings
from collab_asd.encoders import remove_offset
from collab_asd.encoders.random_conv import RandomConv, load_key
from collab_asd.federation.agreement import FREE, Agreement
from collab_asd.federation.bases import BASES

SECRETS = {"ca.key", "server.key", "node.key", "encoder.key", "pseudonym.key"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "consortium"
    config = RunConfig(group_by="all", codec="int8", seed=5)
    Consortium(3, ["asd.example.org", "192.0.2.7"], config, 9500).write(folder)
    return folder


def test_only_their_owner_can_read_keys(made):
    files = [path for path in made.rglob("*") if path.is_file()]
    private = {path for path in files if path.name in SECRETS}
    assert len(private) == 3 + 1 + 3 * 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in set(files) - private)


def test_server_has_no_key_of_the_clients(made):
    shared = {path.read_bytes() for name in ("encoder.key", "pseudonym.key") for path in made.rglob(name)}
    assert len(shared) == 2
    assert not any(
        key in path.read_bytes() for path in (made / "server").rglob("*") if path.is_file() for key in shared
    )


def test_keys_of_the_defences(tmp_path):
    config = RunConfig(encoder="logmel", noise_epsilon=5.0)
    Consortium(2, ["localhost"], config, rotated=True).write(tmp_path / "c")
    keys = {
        name: [path.read_bytes() for path in tmp_path.rglob(f"client-*/{name}.key")] for name in ("rotation", "noise")
    }
    assert {name: (len(held), len(set(held))) for name, held in keys.items()} == {"rotation": (2, 1), "noise": (2, 2)}
    node = NodeSettings.load(tmp_path / "c" / "client-1")
    config = node.node_config()
    for name in ("rotation", "noise", "pseudonym"):
        assert f'{name}-key-file="{tmp_path}/c/client-1/{name}.key"' in config
    assert 'encoder-key-file=""' in config
    assert not list((tmp_path / "c" / "server").rglob("rotation.key"))
    assert "`node.key` and `noise.key` in `client-1/` | client 1 alone" in (tmp_path / "c" / "INVENTORY.md").read_text()


def test_each_client_has_a_key_pair_of_its_own(made):
    clients = [made / f"client-{k}" for k in range(3)]
    public = [public_key(load_node_key(folder / "node.key")) for folder in clients]
    assert len(set(public)) == 3
    assert [(made / "server" / "nodes" / f"client-{k}.pub").read_bytes() for k in range(3)] == public
    assert load_ssh_public_key(public[0]).curve.name == "secp384r1"


def test_parties_agree_on_all_that_decides_what_leaves(made):
    (text,) = {path.read_text() for path in made.rglob("agreement.toml")}
    agreed = tomllib.loads(text)
    versions = {agreed.pop("collab-asd"), agreed.pop("flwr")}
    digest, _ = agreed.pop("encoder-digest"), agreed.pop("agreement-version")
    assert agreed.pop("codec-bases") == BASES
    assert agreed.keys() == RunConfig().to_mapping().keys() - FREE
    assert (agreed["group-by"], agreed["codec"]) == ("all", "int8")
    assert digest == remove_offset(RandomConv(load_key(made / "client-1" / "encoder.key"))).spec.digest
    assert all(versions)


@pytest.mark.parametrize("method", ["covariance-sharing", "local-knn"])
def test_parties_agree_on_no_codec_where_no_embeddings_leave(method):
    config = RunConfig(method=method, page_megabytes=7.0)
    agreed = tomllib.loads(agreement_text(config, "abc"))
    assert not agreed.keys() & {"codec", "codec-bases", "share-covariances", "noise-epsilon", "erase"}
    assert (agreed["method"], agreed["page-megabytes"]) == (method, 7.0)
    assert "codec" not in agreement_text(config, "abc")
    assert {"codec", "codec-bases"} < tomllib.loads(agreement_text(RunConfig(), "abc")).keys()


def test_certificate_is_the_authoritys_for_the_named_hosts(made):
    authority, server = load_certificate(made / "client-2" / "ca.crt"), load_certificate(made / "server" / "server.crt")
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["asd.example.org", "localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7", "127.0.0.1"]
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_settings_are_those_that_were_asked_for(made):
    node, server = NodeSettings.load(made / "client-1"), ServerSettings.load(made / "server")
    assert (node.superlink, node.client, node.clients) == ("asd.example.org:9500", 1, 3)
    assert node.path("encoder_key_file") == made / "client-1" / "encoder.key"
    assert (server.port, server.run) == (9500, {"min-clients": 3})


def test_fewer_clients_that_were_asked_for_are_enough(tmp_path):
    Consortium(3, ["localhost"], RunConfig(encoder="logmel", min_clients=2)).write(tmp_path / "c")
    assert ServerSettings.load(tmp_path / "c" / "server").run == {"min-clients": 2}


def test_a_folder_with_something_in_it_is_left_alone(made, tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(InputError, match="is not empty"):
        Consortium(2, ["localhost"], RunConfig()).write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_one_client_makes_a_consortium_where_nothing_is_shared(tmp_path):
    Consortium(1, ["localhost"], RunConfig(method="local-knn")).write(tmp_path / "c")
    assert ServerSettings.load(tmp_path / "c" / "server").run == {"min-clients": 1}
    assert [path.name for path in tmp_path.glob("c/client-*")] == ["client-0"]


def test_the_agreement_names_a_method_that_needs_it(tmp_path):
    Consortium(2, ["localhost"], RunConfig(method="covariance-sharing")).write(tmp_path / "c")
    agreement = Agreement.load(str(tmp_path / "c" / "client-1" / "agreement.toml"))
    agreement.require_agreed(RunConfig(method="covariance-sharing"))
    with pytest.raises(InputError, match="agreed: covariance-sharing"):
        agreement.require_agreed(RunConfig())


@pytest.mark.parametrize(
    ("clients", "port", "config", "why"),
    [
        (1, 9443, RunConfig(), "--clients 1"),
        (2, 70000, RunConfig(), "--port 70000"),
        (2, 9443, RunConfig(method="fedavg"), "method = fedavg"),
        (2, 9443, RunConfig(encoder="waveform"), "encoder = waveform"),
    ],
)
def test_a_consortium_of_no_use_is_refused(tmp_path, clients, port, config, why):
    with pytest.raises(InputError, match=why):
        Consortium(clients, ["localhost"], config, port).write(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_keys_and_certificates_are_renewed(made, tmp_path):
    before = load_certificate(made / "server" / "server.crt")
    renew_server_certificate(made, ["other.example.org"], days=10)
    after = load_certificate(made / "server" / "server.crt")
    assert before.public_key() != after.public_key()
    assert load_certificate(made / "server" / "server.crt.old") == before
    assert timedelta(days=9) < after.not_valid_after_utc - datetime.now(UTC) <= timedelta(days=10)
    Consortium(2, ["localhost"], RunConfig(encoder="logmel")).write(tmp_path / "other")
    own = tmp_path / "other" / "client-0"
    old = (own / "node.key").read_bytes(), (own / "node.pub").read_bytes()
    assert renew_node_key(own).read_bytes() == old[0]
    assert (own / "node.pub").read_bytes() == public_key(load_node_key(own / "node.key")) != old[1]


def test_a_certificate_is_renewed_where_the_authority_alone_was_kept(made, tmp_path):
    shutil.copytree(made / "authority", tmp_path / "authority")
    renewed = renew_server_certificate(tmp_path, ["asd.example.org"], days=10)
    assert sorted(path.name for path in renewed.iterdir()) == ["server.crt", "server.key"]


def test_a_path_that_leads_out_of_the_folder_is_told_whole(tmp_path):
    node = NodeSettings(tmp_path / "node", "a:1", 0, 2, data_dir="../recordings/all.csv")
    assert node.path("data_dir") == tmp_path.resolve() / "recordings" / "all.csv"
    assert f'data-dir="{tmp_path.resolve()}/recordings/all.csv"' in node.node_config()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "client is missing"),
        ('superlink = "a:1"\nclient = "0"\nclients = 2\n', "client = '0': must be a whole number, without quotes"),
        ('superlink = "a:1"\nclient = 0\nclients = 2\nport = true\n', "port = True"),
        ('superlink = "a:1"\nclient = 0\nclients = 2\ndatadir = ""\n', "'datadir' does not exist"),
        ('superlink = "a"\nclient = 0\nclients = 2\n', "superlink = 'a': write HOST:PORT"),
        ('superlink = "a:99999"\nclient = 0\nclients = 2\n', "write HOST:PORT"),
        ("superlink = ", "text stands in quotes"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, text, why):
    (tmp_path / "node.toml").write_text(text)
    with pytest.raises(InputError, match=why):
        NodeSettings.load(tmp_path)
