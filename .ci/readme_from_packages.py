"""Builds the samples of README.md in a fresh folder, against the packages as they would be published.

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
readme = (root / "README.md").read_text()
dependencies = re.findall(r"```toml\n(oauth-.*?)```\n", readme, flags=re.S)
samples = re.findall(r"```rust,no_run\n(.*?)```\n", readme, flags=re.S)
assert len(dependencies) == len(samples) == 2, "README.md shows a server and a client, each with its dependencies"

with tempfile.TemporaryDirectory() as folder:
    fresh = pathlib.Path(folder)
    patches = []
    for package in sorted((target / "package").glob("tower-oauth-*.crate")):
        with tarfile.open(package) as archive:
            archive.extractall(fresh / "packages", filter="data")
        unpacked = fresh / "packages" / package.stem
        name = re.sub(r"-\d+\.\d+\.\d+$", "", package.stem)
        patches.append(f'{name} = {{ path = "{unpacked}" }}\n')
    for kind, (dependency, sample) in zip(["server", "client"], zip(dependencies, samples)):
        project = fresh / kind
        (project / "src").mkdir(parents=True)
        (project / "src" / "main.rs").write_text(sample)
        (project / "Cargo.toml").write_text(
            f'[package]\nname = "readme-{kind}"\nedition = "2024"\n\n[dependencies]\n{dependency}\n'
            f'[workspace]\n\n[patch.crates-io]\n{"".join(patches)}'
        )
        # The versions that this workspace is tested with.
        (project / "Cargo.lock").write_text((root / "Cargo.lock").read_text())
        subprocess.run(
            ["cargo", "check", "--quiet", "--target-dir", str(target / "readme")], cwd=project, check=True
        )
        print(f"README.md's {kind} builds against the packages")
