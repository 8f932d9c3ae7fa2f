from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from savethat.config import (
    B2Config,
    CodeConfig,
    Config,
    Credentials,
    QueueConfig,
    SlurmConfig,
    credentials,
    credentials_file,
    load,
    parse_duration,
    read_toml,
    store_credentials,
)
from savethat.errors import ConfigError

FULL = """
package = "my_project"
local_path = "${PROJECT_ROOT}/runs"
b2_bucket = "my-b2-bucket"
b2_prefix = "/team/my_project/"
b2_key_id = "0051234"
b2_key = "K005-very-secret"
b2_realm = "http://127.0.0.1:8080/"
scratch = "${SLURM_TMPDIR}"
sync_every = "5m"
keep_local = true
sync = "login"

[slurm]
partition = "gpu"
time = "4h"
cpus_per_task = 4
account = "$LAB"
setup = ["module load cuda", "source ${PROJECT_ROOT}/env/bin/activate", "echo $HOSTNAME $$"]
[slurm.presets.big]
gpus = 4
mem = "64G"
exclusive = true
[slurm.clusters.mila]
account = "rrg-x"
setup = ["module load mila"]

[queue]
gpus = [0, 1]
max_parallel = 2
[code]
capsule = false
include = ["weights/*.bin"]
exclude = ["*.ckpt"]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty project: its savethat.toml says nothing."""
    folder = tmp_path / "fit"
    folder.mkdir()
    (folder / "savethat.toml").touch()
    return folder


def configure(root: Path, text: str, name: str = "savethat.toml") -> Path:
    path = root / name
    path.write_text(text)
    return path


def read(root: Path, environ: Mapping[str, str] | None = None, **overrides: Any) -> Config:
    return load(root, environ=environ or {}, overrides=overrides)


def refused(root: Path, environ: Mapping[str, str] | None = None, **overrides: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(root, environ, **overrides)
    return f"{caught.value.message} | {caught.value.hint}"


# --- where the project is -------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["savethat.toml", "pyproject.toml", "setup.py", ".git"])
def test_root_is_found_from_any_folder_below_it(tmp_path: Path, sign: str) -> None:
    below = tmp_path / "project" / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "project" / sign).touch()
    assert read(below).root == tmp_path / "project"


def test_savethat_toml_further_up_goes_before_a_nearer_pyproject(tmp_path: Path) -> None:
    below = tmp_path / "outer" / "inner"
    below.mkdir(parents=True)
    (tmp_path / "outer" / "savethat.toml").touch()
    (below / "pyproject.toml").touch()
    assert read(below).root == tmp_path / "outer"


def test_nearest_savethat_toml_is_taken(tmp_path: Path) -> None:
    below = tmp_path / "outer" / "inner"
    below.mkdir(parents=True)
    for folder in (below, below.parent):
        (folder / "savethat.toml").touch()
    assert read(below).root == below


def test_without_any_sign_the_root_is_the_start(tmp_path: Path) -> None:
    start = tmp_path / "notes"
    start.mkdir()
    config = read(start)
    assert config == Config(root=start, package=None, local_path=start / "data_storage")


def test_start_defaults_to_the_current_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert load(environ={}).root == root


def test_symlinks_in_the_root_stay(tmp_path: Path, root: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    assert read(link / ".." / "link").root == link


def test_named_file_makes_its_folder_the_root(tmp_path: Path, root: Path) -> None:
    named = configure(tmp_path, 'package = "named"', "settings.toml")
    local = configure(tmp_path, "keep_local = true", "settings.local.toml")
    config = load(root, env_file=named, environ={})
    assert (config.root, config.package, config.keep_local) == (tmp_path, "named", True)
    assert config.files == (named, local)


def test_named_file_that_is_missing_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope\.toml: there is no such configuration file"):
        load(root, env_file=root / "nope.toml", environ={})


def test_project_folder_goes_before_the_named_file(tmp_path: Path, root: Path) -> None:
    named = configure(tmp_path, 'package = "named"', "settings.toml")
    assert load(env_file=named, project=root, environ={}).root == root
    with pytest.raises(ConfigError, match="no such project folder"):
        load(project=root / "nope", environ={})


# --- what it says ---------------------------------------------------------------------------


def test_every_key(root: Path) -> None:
    path = configure(root, FULL)
    assert read(root, {"LAB": "vision"}) == Config(
        root=root,
        package="my_project",
        local_path=root / "runs",
        b2=B2Config("my-b2-bucket", "team/my_project", "http://127.0.0.1:8080"),
        scratch="${SLURM_TMPDIR}",
        sync_every=300.0,
        keep_local=True,
        sync="login",
        slurm=SlurmConfig(
            defaults={
                "partition": "gpu",
                "time": "4h",
                "cpus-per-task": 4,
                "account": "vision",
            },
            presets={"big": {"gpus": 4, "mem": "64G", "exclusive": True}},
            clusters={"mila": {"account": "rrg-x", "setup": ("module load mila",)}},
            setup=(
                "module load cuda",
                f"source {root}/env/bin/activate",
                "echo $HOSTNAME $$",
            ),
        ),
        queue=QueueConfig(gpus=(0, 1), max_parallel=2),
        code=CodeConfig(capsule=False, include=("weights/*.bin",), exclude=("*.ckpt",)),
        files=(path,),
    )


def test_configuration_crosses_to_a_worker_whole_and_without_secrets(root: Path) -> None:
    configure(root, FULL)
    config = read(root, {"LAB": "vision"})
    text = json.dumps(config.to_json())
    assert Config.from_json(json.loads(text)) == config
    assert "very-secret" not in text + repr(config)
    assert "0051234" not in text + repr(config)


def test_defaults_cross_to_a_worker_too(root: Path) -> None:
    config = read(root)
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("pyproject", "package"),
    [
        ('[project]\nname = "my-project"', "my_project"),
        ('[project]\nname = "3d-net"', None),
        ("[tool.ruff]", None),
    ],
)
def test_package_defaults_to_the_projects_name(
    root: Path, pyproject: str, package: str | None
) -> None:
    configure(root, pyproject, "pyproject.toml")
    assert read(root).package == package


@pytest.mark.parametrize("parent", [".", "src"])
def test_package_defaults_to_the_roots_name_where_it_has_that_package(
    root: Path, parent: str
) -> None:
    package = root / parent / "fit"
    package.mkdir(parents=True)
    assert read(root).package is None
    (package / "__init__.py").touch()
    assert read(root).package == "fit"


def test_prefix_defaults_to_the_package_else_to_the_roots_name(root: Path) -> None:
    configure(root, 'b2_bucket = "bucket"')
    assert read(root).b2 == B2Config("bucket", "fit", "production")
    assert read(root, package="other").b2 == B2Config("bucket", "other", "production")


def test_layers_override_in_order_and_tables_merge(root: Path) -> None:
    configure(
        root,
        """
        package = "a"
        sync_every = 10
        [slurm]
        partition = "cpu"
        setup = ["one", "two"]
        [slurm.presets.big]
        gpus = 1
        mem = "8G"
        """,
    )
    configure(
        root,
        """
        package = "b"
        sync_every = "20s"
        [slurm]
        setup = ["three"]
        time = "1h"
        [slurm.presets.big]
        gpus = 2
        """,
        "savethat.local.toml",
    )
    config = read(root)
    assert (config.package, config.sync_every) == ("b", 20.0)
    assert config.slurm == SlurmConfig(
        defaults={"partition": "cpu", "time": "1h"},
        presets={"big": {"gpus": 2, "mem": "8G"}},
        setup=("three",),
    )
    environ = {"SAVETHAT_SYNC_EVERY": "30", "SAVETHAT_PACKAGE": "c"}
    assert (read(root, environ).package, read(root, environ).sync_every) == ("c", 30.0)
    given = read(root, environ, package="d", sync_every=None)
    assert (given.package, given.sync_every) == ("d", 30.0)


def test_local_file_alone_is_read(tmp_path: Path) -> None:
    (tmp_path / "setup.py").touch()
    local = configure(tmp_path, 'package = "x"', "savethat.local.toml")
    assert read(tmp_path).package == "x"
    assert read(tmp_path).files == (local,)


def test_environment_values_are_typed_expanded_and_ignored_when_empty(root: Path) -> None:
    environ = {
        "SAVETHAT_KEEP_LOCAL": "Yes",
        "SAVETHAT_LOCAL_PATH": "$DATA/runs",
        "SAVETHAT_PACKAGE": "",
        "SAVETHAT_SLURM": "ours only as a table",
        "SAVETHAT_SOMETHING": "of another tool",
        "DATA": "/data",
    }
    config = read(root, environ)
    assert (config.keep_local, config.local_path) == (True, Path("/data/runs"))
    assert config.package is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("runs", "{root}/runs"),
        ("../runs", "{parent}/runs"),
        ("/abs/runs", "/abs/runs"),
        ("$PROJECT_ROOT/runs", "{root}/runs"),
        ("${PROJECT_ROOT}_runs", "{root}_runs"),
        ("/x/$USER/$$HOME", "/x/ada/$HOME"),
        ("~/runs", "{home}/runs"),
    ],
)
def test_local_path_expands(root: Path, written: str, meant: str) -> None:
    configure(root, f'local_path = "{written}"')
    expected = meant.format(root=root, parent=root.parent, home=Path.home())
    assert read(root, {"USER": "ada", "PROJECT_ROOT": "/wrong"}).local_path == Path(expected)


def test_sources_may_give_paths(root: Path) -> None:
    assert read(root, local_path=Path("/abs/runs")).local_path == Path("/abs/runs")


# --- what is refused, and how it is said ----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pakage = 'x'", ["savethat.toml: pakage is not a known key", "did you mean package?"]),
        ("[queue]\ngpu = [0]", ["savethat.toml: queue.gpu is not", "did you mean gpus?"]),
        ("[code]\nsync_every = 5", ["code.sync_every", "belongs above the first [table]"]),
        ("[slurm]\nkeep_local = true", ["slurm.keep_local", "belongs above the first [table]"]),
        ("zzz = 1", ["savethat.toml: zzz is not a known key", "known here: package, local_path"]),
        ("keep_local = 'yes'", ["savethat.toml: keep_local must be true or false, not a string"]),
        ("package = 3", ["package must be a string, not an integer"]),
        ("package = 'my project'", ["package: 'my project' is not the name of a package"]),
        ("package = ''", ["package is empty"]),
        ("sync = 'both'", ["sync must be worker, login or auto, not 'both'"]),
        ("sync_every = 'soon'", ["sync_every: 'soon' is not a duration"]),
        ("sync_every = 0", ["sync_every must be more than 0 seconds"]),
        ("sync_every = inf", ["sync_every: inf is not a duration"]),
        ("sync_every = true", ["sync_every must be a duration", "not true/false"]),
        ("slurm = 'gpu'", ["slurm must be a table, not a string"]),
        ("[slurm]\ntime = 04:00:00", ["slurm.time must be a string, a number or", "not time"]),
        ("[slurm]\nsetup = 'x'", ["slurm.setup must be a list of strings, each a shell line"]),
        ("[slurm]\nsetup = [1]", ["slurm.setup[0] must be a string, not an integer"]),
        ("[slurm]\npresets = 1", ["slurm.presets must be a table of tables"]),
        ("[slurm.presets]\nbig = 1", ["slurm.presets.big must be a table, not an integer"]),
        ("[slurm.presets.big]\na = [1]", ["slurm.presets.big.a must be a string, a number"]),
        ("[queue]\ngpus = 2", ["queue.gpus must be a list of integers, not an integer"]),
        ("[queue]\ngpus = [-1]", ["queue.gpus[0] must not be negative"]),
        ("[queue]\nmax_parallel = 0", ["queue.max_parallel must be at least 1"]),
        ("[code]\nexclude = '*.ckpt'", ["code.exclude must be a list of strings, not a string"]),
        ("local_path = '$NOWHERE/x'", ["savethat.toml: local_path: the environment variable NOW"]),
        ("local_path = '${NO-NAME}'", ["local_path: ${ is not followed by a variable's name"]),
        ("local_path = '$EMPTY'", ["local_path expands to nothing"]),
        ("[slurm.clusters.mila]\naccount = '$NO'", ["slurm.clusters.mila.account", "NO is not se"]),
        ("b2_prefix = 'x'", ["b2_prefix is set, but b2_bucket is missing", "local-only"]),
        ("b2_key = 'x'", ["b2_key is set, but b2_bucket is missing"]),
        ("b2_bucket = 'b2://x'", ["b2_bucket: 'b2://x' is not the name of a bucket"]),
        ("b2_bucket = 'x'\nb2_prefix = '/'", ["b2_prefix is not a folder's name"]),
        ("b2_bucket = 'x'\nb2_prefix = 'a//b'", ["b2_prefix is not a folder's name"]),
        ("b2_bucket = 'x'\nb2_prefix = 'a/../b'", ["b2_prefix is not a folder's name"]),
        ("b2_bucket = 'x'\nb2_prefix = 'a\\b'", ["has a character that B2 does not allow"]),
        ("b2_bucket = 'x'\nb2_prefix = '" + "a" * 251 + "'", ["is longer than 400 bytes"]),
        ("b2_bucket = 'x'\nb2_realm = 'staging'", ["b2_realm must be 'production' or the URL"]),
        ("b2_bucket = 'x'\nb2_realm = 'http://u:p@h'", ["b2_realm must be", "without a user name"]),
    ],
)
def test_wrong_settings_are_named(root: Path, text: str, said: list[str]) -> None:
    configure(root, text)
    message = refused(root, {"EMPTY": ""})
    for part in said:
        assert part in message
    assert str(root / "savethat.toml") in message


@pytest.mark.parametrize("name", ["savethat.toml", "savethat.local.toml", "pyproject.toml"])
def test_broken_toml_names_file_and_line(root: Path, name: str) -> None:
    path = configure(root, "# fine\nanswer = = 42\n", name)
    assert f"{path} is not valid TOML: Invalid value (at line 2" in refused(root)


def test_broken_toml_at_the_end_names_the_last_line(root: Path) -> None:
    configure(root, "sync_every = 5\n\nsync = ")
    assert "at line 3, the end of the file" in refused(root)


def test_file_that_is_not_utf8_names_the_line(root: Path) -> None:
    (root / "savethat.toml").write_bytes(b"sync = 'auto'\npackage = '\xe9'\n")
    assert "savethat.toml is not UTF-8 text (at line 2)" in refused(root)


def test_toml_1_0_is_read(root: Path) -> None:
    path = configure(root, 'mixed = [1, "two", {three = 3}]\n', "other.toml")
    assert read_toml(path) == {"mixed": [1, "two", {"three": 3}]}


def test_file_that_overrides_is_the_one_that_is_named(root: Path) -> None:
    configure(root, 'local_path = "runs"')
    configure(root, 'local_path = "$NO"', "savethat.local.toml")
    assert str(root / "savethat.local.toml") in refused(root)
    # What is overridden is not looked at.
    assert read(root, local_path="elsewhere").local_path == root / "elsewhere"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SAVETHAT_SYNC", "both", "SAVETHAT_SYNC must be worker, login or auto"),
        ("SAVETHAT_SYNC_EVERY", "soon", "SAVETHAT_SYNC_EVERY: 'soon' is not a duration"),
        ("SAVETHAT_KEEP_LOCAL", "maybe", "SAVETHAT_KEEP_LOCAL must be true or false"),
        ("SAVETHAT_LOCAL_PATH", "$NO", "SAVETHAT_LOCAL_PATH: the environment variable NO is not"),
    ],
)
def test_wrong_variables_are_named(root: Path, variable: str, value: str, said: str) -> None:
    assert refused(root, {variable: value}).startswith(said)


def test_wrong_options_are_named(root: Path) -> None:
    assert "the given options: sync must be" in refused(root, sync="both")
    assert "the given options: b2_key is not taken as an option" in refused(root, b2_key="secret")


def test_errors_never_show_a_value_that_may_be_a_secret(root: Path) -> None:
    configure(root, 'b2_bucket = "b"\nb2_key = ["K005-very-secret"]')
    assert "b2_key must be a string, not a list" in refused(root)
    assert "very-secret" not in refused(root)


# --- local or B2 ----------------------------------------------------------------------------


def test_credentials_and_realm_in_the_environment_do_not_make_a_project_use_b2(root: Path) -> None:
    environ = {
        "B2_APPLICATION_KEY_ID": "id",
        "B2_APPLICATION_KEY": "key",
        "SAVETHAT_B2_REALM": "http://127.0.0.1:1",
        "SAVETHAT_B2_PREFIX": "other",
    }
    config = read(root, environ)
    assert config.b2 is None
    with pytest.raises(ConfigError, match="local-only"):
        credentials(config, environ)


def test_bucket_in_the_environment_makes_a_project_use_b2(root: Path) -> None:
    assert read(root, {"SAVETHAT_B2_BUCKET": "mine"}).b2 == B2Config("mine", "fit", "production")


# --- scratch --------------------------------------------------------------------------------


def test_scratch_expands_where_it_is_used(root: Path, tmp_path: Path) -> None:
    configure(root, 'scratch = "${SLURM_TMPDIR}/${JOB}"')
    config = Config.from_json(read(root).to_json())
    environ = {"SLURM_TMPDIR": str(tmp_path), "JOB": "7"}
    assert config.scratch_root(environ) == tmp_path / "7"
    assert (tmp_path / "7").is_dir()
    with pytest.raises(ConfigError, match="variable SLURM_TMPDIR is not set"):
        config.scratch_root({})


def test_scratch_that_cannot_be_made_is_refused(root: Path) -> None:
    (root / "file").touch()
    configure(root, 'scratch = "file/scratch"')
    with pytest.raises(ConfigError, match=f"{root}/file/scratch cannot be made"):
        read(root).scratch_root({})


def test_scratch_defaults_to_the_first_folder_that_is_usable(root: Path, tmp_path: Path) -> None:
    slurm, tmp = tmp_path / "slurm", tmp_path / "tmp"
    environ = {"SLURM_TMPDIR": str(slurm), "TMPDIR": str(tmp)}
    config = read(root)
    assert config.scratch_root(environ) == Path(tempfile.gettempdir())
    tmp.mkdir()
    slurm.touch()
    assert config.scratch_root(environ) == tmp
    slurm.unlink()
    slurm.mkdir()
    assert config.scratch_root(environ) == slurm


# --- durations ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60s", 60),
        ("5m", 300),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1w", 604800),
        (" 3H ", 10800),
        ("90", 90),
        (90, 90),
        (0.5, 0.5),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_bare_number_counts_the_unit_asked_for() -> None:
    assert parse_duration("90", unit="m") == 5400
    assert parse_duration("90s", unit="m") == 90


@pytest.mark.parametrize("text", ["", "m", "5x", "5m3", "-5", "-5m", "nan", "inf", "1e999", "5 m"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


# --- credentials ----------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment in which the credentials file is the test's own."""
    return {"SAVETHAT_CREDENTIALS": str(tmp_path / "home" / "credentials.toml")}


def test_credentials_are_taken_from_the_first_place_that_has_them(
    root: Path, home: dict[str, str]
) -> None:
    configure(root, 'b2_bucket = "mine"\nb2_key_id = "toml"')
    configure(root, 'b2_key = "${KEY}"', "savethat.local.toml")
    config = Config.from_json(read(root).to_json())
    environ = {**home, "KEY": "secret-toml"}
    assert credentials(config, environ) == Credentials("toml", "secret-toml")
    store_credentials("mine", Credentials("file", "secret-file"), environ)
    assert credentials(config, environ) == Credentials("file", "secret-file")
    environ |= {"SAVETHAT_B2_KEY_ID": "ours", "SAVETHAT_B2_KEY": "secret-ours"}
    assert credentials(config, environ) == Credentials("ours", "secret-ours")
    environ |= {"B2_APPLICATION_KEY_ID": "env", "B2_APPLICATION_KEY": "secret-env\n"}
    assert credentials(config, environ) == Credentials("env", "secret-env")


def test_missing_credentials_name_the_bucket_and_the_command(
    root: Path, home: dict[str, str]
) -> None:
    config = read(root, b2_bucket="mine")
    store_credentials("another", Credentials("id", "key"), home)
    with pytest.raises(ConfigError, match="no credentials for the B2 bucket mine") as caught:
        credentials(config, home)
    assert "savethat setup" in caught.value.hint


@pytest.mark.parametrize(
    ("there", "missing"),
    [("B2_APPLICATION_KEY_ID", "B2_APPLICATION_KEY"), ("SAVETHAT_B2_KEY", "SAVETHAT_B2_KEY_ID")],
)
def test_half_of_a_key_in_the_environment_is_named(
    root: Path, home: dict[str, str], there: str, missing: str
) -> None:
    store_credentials("mine", Credentials("id", "key"), home)
    with pytest.raises(ConfigError, match=f"the environment has {there} but not {missing}"):
        credentials(read(root, b2_bucket="mine"), {**home, there: "x"})


def test_half_of_a_key_in_the_files_is_named(root: Path, home: dict[str, str]) -> None:
    path = configure(root, 'b2_bucket = "mine"\nb2_key = "x"')
    with pytest.raises(ConfigError, match=f"{path} has b2_key but not b2_key_id"):
        credentials(read(root), home)
    file = Path(home["SAVETHAT_CREDENTIALS"])
    file.parent.mkdir()
    file.write_text('[mine]\nkey_id = "x"\n')
    with pytest.raises(ConfigError, match=f"{file} has key_id but not key"):
        credentials(read(root), home)


def test_credentials_file_that_is_not_one_is_named(root: Path, home: dict[str, str]) -> None:
    config = read(root, b2_bucket="mine")
    file = Path(home["SAVETHAT_CREDENTIALS"])
    file.parent.mkdir()
    file.write_text("mine = 3")
    with pytest.raises(ConfigError, match=f"{file}: the entry of mine is not a key_id and a key"):
        credentials(config, home)
    file.write_text("[mine")
    with pytest.raises(ConfigError, match=f"{file} is not valid TOML"):
        credentials(config, home)
    with pytest.raises(ConfigError, match=f"{file} is not valid TOML"):
        store_credentials("mine", Credentials("id", "key"), home)
    assert file.read_text() == "[mine"


def test_secret_is_in_no_representation() -> None:
    secret = Credentials("0051234", "K005-very-secret")
    assert "very-secret" not in f"{secret!r} {secret} {[secret]}"


def test_stored_credentials_are_private_keep_other_entries_and_leave_nothing_beside(
    home: dict[str, str],
) -> None:
    first, second = Credentials("1", 'K1"\\quoted'), Credentials("2", "K2")
    before = os.umask(0)
    try:
        file = store_credentials("dotted.bucket", first, home)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    file.chmod(0o644)
    store_credentials("other", second, home)
    store_credentials("other", second, home)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_toml(file) == {
        "dotted.bucket": {"key_id": "1", "key": 'K1"\\quoted'},
        "other": {"key_id": "2", "key": "K2"},
    }
    assert [path.name for path in file.parent.iterdir()] == ["credentials.toml"]


def test_readable_credentials_file_is_still_read(root: Path, home: dict[str, str]) -> None:
    store_credentials("mine", Credentials("id", "key"), home).chmod(0o644)
    assert credentials(read(root, b2_bucket="mine"), home) == Credentials("id", "key")


def test_link_to_the_credentials_file_stays_a_link(tmp_path: Path, home: dict[str, str]) -> None:
    link = Path(home["SAVETHAT_CREDENTIALS"])
    link.parent.mkdir()
    link.symlink_to(tmp_path / "dotfiles.toml")
    store_credentials("mine", Credentials("id", "key"), home)
    assert link.is_symlink()
    assert read_toml(tmp_path / "dotfiles.toml") == {"mine": {"key_id": "id", "key": "key"}}


def test_credentials_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ = {"SAVETHAT_CREDENTIALS": str(tmp_path / "file" / "credentials.toml")}
    with pytest.raises(ConfigError, match="cannot be written"):
        store_credentials("mine", Credentials("id", "key"), environ)


def test_credentials_file_is_in_the_users_config_folder() -> None:
    path = credentials_file({})
    assert path.parts[-2:] == ("savethat", "credentials.toml")
    assert path.is_relative_to(Path.home())


def test_reading_the_configuration_imports_neither_toml_nor_platformdirs(root: Path) -> None:
    code = "import sys; from savethat.config import load; load(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert {"toml", "platformdirs"}.isdisjoint(done.stdout.split())
