//! Installs Debian packages if the user has the rights.

use crate::workspace::{Workspace, output, run};
use std::process::Command;

/// Installs `packages` without starting any service, or says what the operator must do instead.
pub fn install(workspace: &Workspace, packages: &[&str]) -> Result<(), String> {
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if output(Command::new("apt-get").arg("--version")).is_err() {
        return Err(format!("there is no apt-get here; install what Debian calls {}", packages.join(", ")));
    }
    let script = workspace.root().join("xtask/apt-install.sh");
    let mut command = match privilege() {
        Some(Privilege::Root) => Command::new("sh"),
        Some(Privilege::Sudo) => {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "sh"]);
            sudo
        }
        None => return Err(format!("this user may not install packages; as root: {by_hand}")),
    };
    run(command.arg(script).args(packages))
        .map_err(|problem| format!("{problem}; by hand, as root: {by_hand}"))
}

enum Privilege {
    Root,
    /// Without a request for a password, because no operator is there to answer.
    Sudo,
}

fn privilege() -> Option<Privilege> {
    if rustix::process::geteuid().is_root() {
        return Some(Privilege::Root);
    }
    output(Command::new("sudo").args(["-n", "true"])).is_ok().then_some(Privilege::Sudo)
}
