//! The SAM command line, kept to this machine and to one folder.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stack::deploy::{Archive, point_at_code};
use stack::install::{SamTool, in_workspace, workspace};
use stack::ministack::Ministack;

use super::REGION;
use crate::executables::executables;

type Failure = Box<dyn Error + Send + Sync>;

/// `sam delete`, as it must be for an S3 that is not Amazon's.
const DELETE: &str = include_str!("sam_delete.py");

/// How the template says what a function's binary is.
const BINARY: &str = "Binary: ";

/// What the template makes a layer of.
const LAYER: &str = "infra/rds-ca";

/// The command line, and where it works.
#[derive(Clone)]
pub(super) struct Sam {
    tool: SamTool,
    /// Everything that it writes.
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl Sam {
    /// With an empty folder.
    pub(super) fn new(tool: SamTool, ministack: &Ministack, folder: PathBuf) -> Result<Self, Failure> {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(folder.join("sam"))?;
        fs::write(folder.join("sam/samconfig.toml"), "version = 0.1\n")?;
        Ok(Self { tool, folder, environment: ministack.client_environment() })
    }

    fn built(&self) -> PathBuf {
        self.folder.join("build")
    }

    /// `sam build`: cargo-lambda, in the release profile, into the workspace's `target`, which the functions share: what
    /// they have in common is compiled once.
    pub(super) fn build(&self, parameters: &[(&'static str, String)]) -> Result<(), Failure> {
        let mut build = self.command("build");
        // A cache goes by a checksum of the whole source folder, and `target` is in it: that takes a minute, and fails
        // when a file goes away meanwhile.
        build.args(["--no-cached", "--template", "template.yaml", "--build-dir"]).arg(self.built());
        build.arg("--parameter-overrides").args(overrides(parameters));
        finished(&mut build)
    }

    /// What `sam build` would leave, of binaries that cargo builds in seconds.
    pub(super) fn build_short(&self) -> Result<(), Failure> {
        let template = fs::read_to_string(workspace().join("template.yaml"))?;
        let binaries: Vec<&str> =
            template.lines().filter_map(|line| line.trim().strip_prefix(BINARY)).collect();
        // Nothing of these is deployed without a broker, and a binary of the development profile is large.
        let (left_out, wanted): (Vec<&str>, Vec<&str>) =
            binaries.iter().partition(|binary| binary.contains("rabbitmq"));
        let executables: BTreeMap<String, PathBuf> = executables(wanted)?;
        let folder = self.built();
        fs::create_dir_all(&folder)?;
        for (binary, executable) in executables {
            let archive = Archive::of_function(&fs::read(executable)?)?;
            fs::write(folder.join(format!("{binary}.zip")), archive.bytes())?;
        }
        for binary in left_out {
            fs::write(folder.join(format!("{binary}.zip")), Archive::of_function(b"")?.bytes())?;
        }
        fs::write(folder.join("template.yaml"), point_at_code(&template, ".", &binaries)?)?;
        // The nested stacks stand beside it, and the content of the layer.
        copy_templates(&workspace().join("infra"), &folder.join("infra"))?;
        copy_folder(&workspace().join(LAYER), &folder.join(LAYER))
    }

    /// `sam deploy` of what was built.
    pub(super) fn deploy(
        &self,
        stack: &str,
        bucket: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<(), Failure> {
        let mut deploy = self.command("deploy");
        deploy.arg("--template-file").arg(self.built().join("template.yaml"));
        deploy.args(["--stack-name", stack, "--s3-bucket", bucket, "--capabilities"]);
        // The second because the root has a transform and nested stacks.
        deploy.args(["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]);
        deploy.args(["--no-confirm-changeset", "--no-progressbar"]);
        deploy.arg("--parameter-overrides").args(overrides(parameters));
        finished(&mut deploy)
    }

    /// `sam delete`, with what was uploaded.
    pub(super) fn delete(&self, stack: &str, bucket: &str) -> Result<(), Failure> {
        let mut delete = in_workspace(self.tool.bin.join("python"));
        delete.args(["-c", DELETE]);
        finished(self.kept_here(delete).args(["--stack-name", stack, "--s3-bucket", bucket, "--no-prompts"]))
    }

    fn command(&self, name: &str) -> Command {
        let mut command = in_workspace(&self.tool.sam);
        command.arg(name);
        self.kept_here(command)
    }

    /// A command that can reach ministack and nothing else: no profile, no endpoint of a service, no setting of the
    /// repository's or the user's.
    fn kept_here(&self, mut command: Command) -> Command {
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("AWS_") {
                command.env_remove(variable);
            }
        }
        let home = self.folder.join("sam");
        let nothing = home.join("nothing");
        command
            .arg("--config-file")
            .arg(home.join("samconfig.toml"))
            .args(["--region", REGION])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("AWS_CONFIG_FILE", &nothing)
            .env("AWS_SHARED_CREDENTIALS_FILE", &nothing)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("SAM_CLI_TELEMETRY", "0")
            .env("__SAM_CLI_APP_DIR", &home)
            .env("PATH", path_with(&self.tool.bin));
        command
    }
}

/// cargo-lambda and the Python of its linker must be found first.
fn path_with(bin: &Path) -> std::ffi::OsString {
    let first = std::iter::once(bin.to_path_buf());
    let others = stack::install::search_path();
    let all = first.chain(std::env::split_paths(&others));
    std::env::join_paths(all).unwrap_or(others.clone())
}

fn overrides(parameters: &[(&'static str, String)]) -> impl Iterator<Item = String> {
    parameters.iter().map(|(name, value)| format!("{name}=\"{value}\""))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn copy_templates(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml")
            && let Some(name) = path.file_name()
        {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// Runs a command to its end. The error is all that it printed.
fn finished(command: &mut Command) -> Result<(), Failure> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{}\n{said}\n{complained}", output.status).into())
}
