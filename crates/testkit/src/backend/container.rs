//! A server in a container.

use super::server::Host;
use super::watchdog::Watchdog;
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt, TestcontainersError};
use tokio::runtime::Runtime;

/// Timeout of an orderly stop, in seconds; after it, the server is killed.
const STOP_SECONDS_MAX: i32 = 20;

/// Description of the container.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) repository: &'static str,
    pub(super) tag: &'static str,
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
    /// Removes the container if this process is killed.
    watchdog: Option<Watchdog>,
}

impl Container {
    pub(super) fn new(image: Image) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("a runtime for the container: {error}"))?;
        Ok(Self { image, runtime, started: None, watchdog: None })
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
        let request: ContainerRequest<GenericImage> = (&self.image).into();
        let container = self.runtime.block_on(request.start()).map_err(|error| sentence(&error))?;
        self.watchdog = Some(Watchdog::new("docker rm --force --volumes \"$1\"", &[container.id()])?);
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
        let stopping = self.running()?.stop_with_timeout(Some(STOP_SECONDS_MAX));
        self.runtime.block_on(stopping).map_err(|error| sentence(&error))
    }

    fn kill(&mut self) -> Result<(), String> {
        let killing = self.running()?.stop_with_timeout(Some(0));
        self.runtime.block_on(killing).map_err(|error| sentence(&error))
    }

    fn pause(&mut self) -> Result<(), String> {
        self.runtime.block_on(self.running()?.pause()).map_err(|error| sentence(&error))
    }

    fn resume(&mut self) -> Result<(), String> {
        self.runtime.block_on(self.running()?.unpause()).map_err(|error| sentence(&error))
    }

    fn log(&self) -> String {
        let Ok(container) = self.running() else { return String::new() };
        let log = self.runtime.block_on(container.stderr_to_vec()).unwrap_or_default();
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
        image.environment.iter().fold(request, |request, (name, value)| request.with_env_var(*name, *value))
    }
}

fn sentence(error: &TestcontainersError) -> String {
    format!("the container engine says: {error}")
}
