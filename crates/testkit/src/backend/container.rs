//! A server in a container.

use super::server::Host;
use super::watchdog::Watchdog;
use std::fmt;
use std::net::IpAddr;
use testcontainers::bollard::query_parameters::KillContainerOptionsBuilder;
use testcontainers::core::client::docker_client_instance;
use testcontainers::core::{CmdWaitFor, ExecCommand, IntoContainerPort};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};
use tokio::runtime::Runtime;

/// Timeout of an orderly stop, in seconds; after it, the server is killed.
const STOP_SECONDS_MAX: i32 = 20;
/// Removes the container $1. The second attempt is for one that the engine was creating during the first.
const CLEAN_UP: &str = r#"docker rm --force --volumes "$1"; sleep 2; docker rm --force --volumes "$1""#;
/// Kills all processes of a container but its first. There may be none.
const KILL_OTHERS: [&str; 3] = ["sh", "-c", "kill -KILL -1 || true"];

/// Description of the container.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) repository: &'static str,
    pub(super) tag: &'static str,
    /// Host on which tests reach the engine's ports. On a loopback address a port is open to this machine only.
    pub(super) host: String,
    /// Port inside the container.
    pub(super) port: u16,
    /// Port outside; fixed, because a port that the engine chooses changes with every start.
    pub(super) host_port: u16,
    pub(super) environment: Vec<(&'static str, &'static str)>,
    pub(super) arguments: Vec<String>,
}

/// A container with the runtime that drives it.
pub(super) struct Container {
    image: Image,
    runtime: Runtime,
    started: Option<ContainerAsync<GenericImage>>,
    /// The engine refuses to resume a container that runs.
    paused: bool,
    /// Removes the container if this process is killed.
    watchdog: Option<Watchdog>,
}

impl Container {
    pub(super) fn new(image: Image) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("a runtime for the container: {error}"))?;
        Ok(Self { image, runtime, started: None, paused: false, watchdog: None })
    }

    fn running(&self) -> Result<&ContainerAsync<GenericImage>, String> {
        self.started.as_ref().ok_or_else(|| "it was never started".to_owned())
    }
}

impl Host for Container {
    fn start(&mut self) -> Result<(), String> {
        if let Some(container) = &self.started {
            return self.runtime.block_on(container.start()).map_err(|error| sentence(&error));
        }
        // Named by us, so that the watchdog knows it before the engine has it.
        let name = format!("coordinator-test-{}-{}", std::process::id(), self.image.host_port);
        self.watchdog = Some(Watchdog::new(CLEAN_UP, &[&name])?);
        let request = ContainerRequest::from(&self.image).with_container_name(name);
        let container = self.runtime.block_on(request.start()).map_err(|error| sentence(&error))?;
        self.started = Some(container);
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        match self.runtime.block_on(self.running()?.is_running()) {
            Ok(true) => Ok(()),
            Ok(false) => Err("its container ended by itself".to_owned()),
            Err(error) => Err(sentence(&error)),
        }
    }

    fn stop(&mut self) -> Result<(), String> {
        self.resume()?;
        let stopping = self.running()?.stop_with_timeout(Some(STOP_SECONDS_MAX));
        self.runtime.block_on(stopping).map_err(|error| sentence(&error))
    }

    fn kill(&mut self) -> Result<(), String> {
        let container = self.running()?;
        let killing = async {
            if !container.is_running().await.map_err(|error| sentence(&error))? {
                return Ok(());
            }
            let engine = docker_client_instance().await.map_err(|error| sentence(&error))?;
            let kill = |signal: &str| {
                let options = KillContainerOptionsBuilder::new().signal(signal).build();
                engine.kill_container(container.id(), Some(options))
            };
            // The engine's signals reach the first process only, and PostgreSQL's sessions send a goodbye after its
            // end. So it is frozen until they are killed. In a paused container nothing can be executed.
            if !self.paused {
                kill("SIGSTOP").await.map_err(|error| sentence(&error))?;
                let others = ExecCommand::new(KILL_OTHERS).with_cmd_ready_condition(CmdWaitFor::exit());
                container.exec(others).await.map_err(|error| sentence(&error))?;
            }
            // The engine answers when the container has ended.
            kill("SIGKILL").await.map_err(|error| sentence(&error))
        };
        self.runtime.block_on(killing)?;
        self.paused = false;
        Ok(())
    }

    fn pause(&mut self) -> Result<(), String> {
        self.runtime.block_on(self.running()?.pause()).map_err(|error| sentence(&error))?;
        self.paused = true;
        Ok(())
    }

    fn resume(&mut self) -> Result<(), String> {
        if self.paused {
            self.runtime.block_on(self.running()?.unpause()).map_err(|error| sentence(&error))?;
            self.paused = false;
        }
        Ok(())
    }

    fn log(&self) -> String {
        let Ok(container) = self.running() else { return String::new() };
        // Redis writes its log to the one, PostgreSQL to the other.
        let log = self.runtime.block_on(async {
            let output = container.stdout_to_vec().await.unwrap_or_default();
            [output, container.stderr_to_vec().await.unwrap_or_default()].concat()
        });
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(container) = self.started.take() {
            let _ = self.runtime.block_on(container.rm());
        }
    }
}

impl From<&Image> for ContainerRequest<GenericImage> {
    fn from(image: &Image) -> Self {
        let request = GenericImage::new(image.repository, image.tag)
            .with_mapped_port(image.host_port, image.port.tcp());
        let request = request.with_cmd(image.arguments.clone());
        let request = match image.host.parse::<IpAddr>() {
            Ok(host) if host.is_loopback() => publish_on(request, host),
            _ => request,
        };
        image.environment.iter().fold(request, |request, (name, value)| request.with_env_var(*name, *value))
    }
}

/// Opens the ports on that address only; the default is every address of the machine.
fn publish_on(request: ContainerRequest<GenericImage>, host: IpAddr) -> ContainerRequest<GenericImage> {
    request.with_host_config_modifier(move |config| {
        let ports = config.port_bindings.iter_mut().flat_map(|ports| ports.values_mut());
        for binding in ports.flatten().flatten() {
            binding.host_ip = Some(host.to_string());
        }
    })
}

fn sentence(error: &impl fmt::Display) -> String {
    format!("the container engine says: {error}")
}
