"""The package: the example in the README, and a wheel that is the same in every build."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
#: Lines of a user's program, without the comment at its start and empty lines.
_LINES_MAX = 25


def code(text):
    """The lines of a program without its first comment and empty lines."""
    return [line for line in re.sub(r'\A""".*?"""\n', "", text, flags=re.DOTALL).splitlines() if line.strip()]


class ReadmeTest(unittest.TestCase):
    def test_its_first_program_is_the_example_that_the_chaos_test_runs(self):
        readme = (PACKAGE / "README.md").read_text()
        first = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
        self.assertEqual(code(first), code((PACKAGE / "examples" / "flask_service.py").read_text()))

    def test_every_example_has_few_lines(self):
        for example in sorted((PACKAGE / "examples").glob("*.py")):
            self.assertLessEqual(len(code(example.read_text())), _LINES_MAX, example.name)


class WheelTest(unittest.TestCase):
    def build(self, folder, name):
        source, out = folder / name / "source", folder / name / "wheel"
        shutil.copytree(
            PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info", ".mypy_cache")
        )
        out.mkdir()
        build = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1764411330"}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", build], cwd=source, env=environment, capture_output=True
        )
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return next(out.glob("*.whl"))

    def test_two_builds_are_equal_and_contain_the_package_and_its_types(self):
        with tempfile.TemporaryDirectory(prefix="coordinator-client-") as folder:
            wheels = [self.build(Path(folder), name) for name in ("one", "two")]
            digests = {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}
            self.assertEqual(len(digests), 1)
            names = set(zipfile.ZipFile(wheels[0]).namelist())
        sources = {f"coordinator_client/{path.name}" for path in (PACKAGE / "src" / "coordinator_client").glob("*.py")}
        self.assertLessEqual(sources | {"coordinator_client/py.typed"}, names)
        self.assertFalse([name for name in names if "test" in name])


if __name__ == "__main__":
    unittest.main()
