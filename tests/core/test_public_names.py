"""What `import proofgap` offers: every public name is there, and nothing is loaded before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import proofgap


@pytest.mark.parametrize("name", proofgap.__all__)
def test_every_public_name_can_be_imported_and_says_what_it_is(name):
    found = getattr(proofgap, name)
    assert not callable(found) or found.__doc__


def test_the_list_of_public_names_is_the_list_of_places():
    assert set(proofgap.__all__) == set(proofgap._MODULE_OF)


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        proofgap.nothing  # noqa: B018 - the access is what is tested


def test_importing_the_package_loads_no_machine():
    code = "import sys, proofgap; from proofgap import decide; sys.exit('statemachine' in sys.modules)"
    path = ":".join(sys.path)
    assert 0 == subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, check=False).returncode
