//! The HTTP pages of an instance and the alerts that it posts (feature `http`).

mod alerts;
mod operations;
mod page;
mod pages;

pub use adapter_http::{
    AlertWebhook, HandlerUrl, HttpHandler, HttpHandlerConfig, Limits, serve, serve_within,
};
pub use alerts::post_alerts;
pub use operations::Operations;
pub use page::{Delivery, Page};
pub use pages::Pages;
