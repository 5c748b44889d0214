import io
import zipfile

import pytest

from collab_asd.errors import InputError
from simulations.deployment import executor, supernode

OURS = '[tool.flwr.app.components]\nserverapp = "a:b"\nclientapp = "simulations.client_app:app"\n'
OTHER = OURS.replace("simulations.client_app", "evil")


def bundle(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return file.getvalue()


def test_settings_alone_are_taken():
    executor.require_settings_only(bundle(pyproject_toml=OURS, README_md="words"), skip_prompt=True)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"pyproject_toml": OURS, "app_py": ""}, "holds code"),
        ({"pyproject_toml": OURS, "app_so": ""}, "holds code"),
        ({"pyproject_toml": OTHER}, "another ClientApp"),
        ({"pyproject_toml": OURS + "#" * 2**20}, "at most 1048576"),
    ],
)
def test_code_of_others_is_refused(members, why):
    with pytest.raises(InputError, match=why):
        executor.require_settings_only(bundle(**members))


def test_app_is_the_installed_one():
    from simulations.client_app import app

    assert executor.installed_app("publisher/name", "1.0", "hash") is app


def test_secret_is_for_this_user_alone():
    secret = supernode._secret()
    assert (secret.stat().st_mode & 0o777, secret.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    secret.unlink()
    secret.parent.rmdir()


@pytest.mark.parametrize("argument", ["--isolation", "--host=0.0.0.0", "--trusted-entities"])
def test_what_keeps_code_out_cannot_be_set(argument, monkeypatch):
    monkeypatch.setattr("sys.argv", ["supernode", argument])
    with pytest.raises(SystemExit, match=argument.split("=")[0]):
        supernode.main()
