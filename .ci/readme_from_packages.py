"""Builds the samples of the READMEs in a fresh folder, against the packages as they would be published.

Run after `cargo package`: python3 .ci/readme_from_packages.py TARGET_DIR
"""

import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent
target = pathlib.Path(sys.argv[1]).resolve()
# Each README with the names of its samples, each of which follows its dependencies.
readmes = {
    "README.md": ["server", "client"],
    "oauth-client/redis/README.md": ["client-redis"],
    "oauth-guard/redis/README.md": ["guard-redis"],
}
projects = []
for path, names in readmes.items():
    text = (root / path).read_text()
    dependencies = re.findall(r"```toml\n(oauth-.*?)```\n", text, flags=re.S)
    samples = re.findall(r"```rust,no_run\n(.*?)```\n", text, flags=re.S)
    assert len(dependencies) == len(samples) == len(names), f"{path} should show {names}, each with its dependencies"
    # Lines that documentation hides are part of the program.
    programs = [re.sub(r"^# ", "", sample, flags=re.M) for sample in samples]
    projects += zip(names, dependencies, programs)

with tempfile.TemporaryDirectory() as folder:
    fresh = pathlib.Path(folder)
    patches = []
    for package in sorted((target / "package").glob("tower-oauth-*.crate")):
        with tarfile.open(package) as archive:
            archive.extractall(fresh / "packages", filter="data")
        unpacked = fresh / "packages" / package.stem
        name = re.sub(r"-\d+\.\d+\.\d+$", "", package.stem)
        patches.append(f'{name} = {{ path = "{unpacked}" }}\n')
    for kind, dependency, program in projects:
        project = fresh / kind
        (project / "src").mkdir(parents=True)
        (project / "src" / "main.rs").write_text(program)
        (project / "Cargo.toml").write_text(
            f'[package]\nname = "readme-{kind}"\nedition = "2024"\n\n[dependencies]\n{dependency}\n'
            f'[workspace]\n\n[patch.crates-io]\n{"".join(patches)}'
        )
        # The versions that this workspace is tested with.
        (project / "Cargo.lock").write_text((root / "Cargo.lock").read_text())
        subprocess.run(
            ["cargo", "check", "--quiet", "--target-dir", str(target / "readme")], cwd=project, check=True
        )
        print(f"the README's {kind} builds against the packages")
