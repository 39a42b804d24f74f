"""config.json, the places, the variables, the plugin's health: what needs no network."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mlflow_magics.tracking.azure import plugin
from mlflow_magics.tracking.azure.address import clouds, configs, places
from mlflow_magics.tracking.azure.address.addresses import Workspace
from mlflow_magics.vocabulary.errors import ConnectionFailedError

GUID = "01234567-89ab-cdef-0123-456789abcdef"
GOOD = {"subscription_id": GUID, "resource_group": "g", "workspace_name": "w"}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


class TestFind:
    def test_nothing(self, tmp_path):
        assert configs.find(tmp_path) is None

    def test_a_folder_of_its_own_goes_before_a_plain_file_even_from_above(self, tmp_path):
        here = tmp_path / "a" / "b"
        plain = write(here / "config.json", GOOD)
        assert configs.find(here) == plain
        old = write(tmp_path / "aml_config" / "config.json", GOOD)
        assert configs.find(here) == old
        new = write(tmp_path / "a" / ".azureml" / "config.json", GOOD)
        assert configs.find(here) == new

    @pytest.mark.parametrize("content", ['{"batch_size": 3}', "[1, 2]", "not json", "[" * 100_000])
    def test_another_programs_file_is_passed_over(self, tmp_path, content):
        write(tmp_path / "a" / "config.json", content)
        mine = write(tmp_path / "config.json", GOOD)
        assert configs.find(tmp_path / "a") == mine

    def test_one_with_a_slip_in_azure_mls_own_folder_is_no_other_programs(self, tmp_path):
        broken = write(tmp_path / ".azureml" / "config.json", json.dumps(GOOD)[:-1])
        assert configs.find(tmp_path / "a") == broken
        with pytest.raises(ConnectionFailedError, match="it is not JSON"):
            configs.read(tmp_path / ".azureml")
        mine = write(tmp_path / "config.json", GOOD)
        assert configs.find(tmp_path) == mine

    def test_five_folders_up_and_no_more(self, tmp_path):
        mine = write(tmp_path / "config.json", GOOD)
        deep = tmp_path / "1" / "2" / "3" / "4" / "5"
        assert configs.find(deep) == mine
        assert configs.find(deep / "6") is None


class TestRead:
    def test_good(self, tmp_path):
        path = write(tmp_path / ".azureml" / "config.json", GOOD)
        assert configs.read(path) == configs.read(tmp_path) == Workspace(GUID, "g", "w", "")

    def test_with_a_byte_order_mark(self, tmp_path):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(GOOD), encoding="utf-8-sig")
        assert configs.find(tmp_path) == path
        assert configs.read(path).name == "w"

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ('{"subscription_id": 1,}', "it is not JSON (line 1"),
            ("[]", "no keys and values"),
            ("[" * 100_000, "nested too deeply"),
            ({**GOOD, "workspace_name": ""}, "workspace_name is missing"),
            ({"subscription_id": GUID}, "resource_group and workspace_name are missing"),
            ({**GOOD, "resource_group": 7}, "resource_group is not written as text"),
            ({**GOOD, "subscription_id": "<your-subscription-id>"}, "is a placeholder"),
            ({**GOOD, "subscription_id": "Pay As You Go"}, "is not an id"),
        ],
    )
    def test_one_line_each(self, tmp_path, content, reason):
        path = write(tmp_path / "config.json", content)
        with pytest.raises(ConnectionFailedError) as caught:
            configs.read(path)
        assert reason in caught.value.reason
        assert caught.value.hint
        assert "\n" not in str(caught.value)

    def test_no_file_and_an_empty_folder(self, tmp_path):
        with pytest.raises(ConnectionFailedError, match="no such file"):
            configs.read(tmp_path / "config.json")
        with pytest.raises(ConnectionFailedError, match="this folder holds no"):
            configs.read(tmp_path)
        write(tmp_path / "config.json", "{}")
        with pytest.raises(ConnectionFailedError, match="subscription_id and resource_group and workspace_name are"):
            configs.read(tmp_path)

    def test_another_tenant(self, tmp_path):
        path = write(tmp_path / "config.json", {**GOOD, "tenant_id": GUID})
        configs.check_tenant(path, GUID.upper())
        configs.check_tenant(path, "")
        with pytest.raises(ConnectionFailedError, match=f"az login --tenant {GUID}"):
            configs.check_tenant(path, GUID.replace("0", "9"))


class TestPlaces:
    def test_compute_instance(self):
        found = places.compute_instance(
            {"CI_NAME": "ci1", "CI_WORKSPACE": "w", "CI_RESOURCE_GROUP": "g", "MSI_ENDPOINT": "http://x"}
        )
        assert found == "compute instance ci1, workspace w, resource group g"
        assert places.compute_instance({}) is None
        assert places.compute_instance({"CI_NAME": "gitlab"}) is None

    def test_job(self):
        whole = {
            "MLFLOW_TRACKING_URI": "azureml://h/mlflow/v1.0",
            "MLFLOW_TRACKING_TOKEN": "t",
            "MLFLOW_RUN_ID": "r",
            "MLFLOW_EXPERIMENT_NAME": "e",
        }
        assert places.job(whole) == places.Job("r", "", "e")
        for name in whole:
            assert places.job({key: value for key, value in whole.items() if key != name}) is None
        assert places.job({**whole, "MLFLOW_TRACKING_URI": "http://h"}) is None


class TestClouds:
    def test_the_host_decides_unless_the_environment_does(self):
        gov = Workspace(GUID, "g", "w", "usgovvirginia.api.ml.azure.us")
        assert clouds.current(gov, {}) == clouds.GOVERNMENT
        assert clouds.current(gov, {"AZUREML_CURRENT_CLOUD": "AzureChinaCloud"}) == clouds.CHINA
        assert clouds.current(Workspace(GUID, "g", "w"), {}) == clouds.PUBLIC

    def test_variables(self):
        home = Workspace(GUID, "g", "w", "eastus.api.azureml.ms")
        assert clouds.environment(home, {}) == {"AZUREML_CURRENT_CLOUD": "AzureCloud"}
        assert clouds.environment(home, {"AZUREML_CURRENT_CLOUD": "mine"}) == {}
        assert clouds.environment(home, {"ARM_CLOUD_METADATA_URL": "https://h"}) == {}
        assert clouds.environment(Workspace(GUID, "g", "w", "127.0.0.1:1"), {}) == {}


class TestPlugin:
    def test_missing_names_the_command_without_importing_azureml(self):
        pytest.importorskip("mlflow")
        try:
            import azureml.mlflow  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("azureml-mlflow is installed here")
        with pytest.raises(ConnectionFailedError, match="is not installed; %pip install") as caught:
            plugin.check()
        import mlflow
        from packaging.version import Version

        newer = Version(mlflow.__version__) > Version(plugin.NEWEST_MLFLOW)
        assert ('"mlflow==3.15.0"' in str(caught.value)) == newer
        assert '"azureml-mlflow>=1.62.0.post6"' in str(caught.value)

    def test_installed_and_fit(self):
        pytest.importorskip("azureml.mlflow")
        plugin.check()

    def test_an_old_builder_fits_old_mlflow_only(self):
        import mlflow

        def builder_of_1_60(artifact_uri=None):
            return artifact_uri

        lacking = plugin.unknown_arguments(builder_of_1_60)
        assert lacking == (["tracking_uri", "registry_uri"] if mlflow.__version__.startswith("3.") else [])
        assert plugin.unknown_arguments(lambda artifact_uri, **rest: None) == []


@pytest.mark.parametrize(
    "module",
    [
        *("address.addresses", "address.configs", "address.places", "address.clouds", "address.arm", "address.studio"),
        *("sign_in.injection", "sign_in.signin", "sign_in.claims", "plugin", "uploads"),
    ],
)
def test_nothing_of_azure_is_imported_with_the_module(module):
    code = (
        f"import sys, mlflow_magics.tracking.azure.{module}\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('azure', 'azureml', 'msal')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
