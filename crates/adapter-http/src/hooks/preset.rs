//! Presets: the settings of a hook for the bodies of known senders. A setting of the hook overrides the preset's.

use super::hook::RECEIVED_WINDOW_S_MIN;
use super::settings::HookSettings;

/// The names of all presets.
pub const PRESETS: [&str; 4] = ["tradingview-strategy", "tradingview-indicator", "portfolio-manager", "text"];

/// The addresses from which TradingView posts, by its support page
/// <https://www.tradingview.com/support/solutions/43000529348>.
pub(super) const TRADINGVIEW: [&str; 4] =
    ["52.89.214.238/32", "34.212.75.30/32", "54.218.53.128/32", "52.32.178.7/32"];

/// The settings of that preset; `None` if there is none of that name.
pub(super) fn preset(name: &str) -> Option<HookSettings> {
    let text = |text: &str| Some(text.to_owned());
    // TradingView repeats an alert with the same body, so its timestamp ({{timenow}}) makes it the same signal. No window:
    // charts have bars of 1 s and longer (<https://www.tradingview.com/support/solutions/43000762068>), and two orders of a
    // kind within seconds may both be real.
    let chart =
        HookSettings { instrument: text("{ticker}"), timestamp: text("{time}"), ..HookSettings::default() };
    match name {
        "tradingview-strategy" => {
            Some(HookSettings { signal_type: text("{action}"), position: text("{order_id}"), ..chart })
        }
        "tradingview-indicator" => Some(HookSettings {
            signal_type: text("{signal}"),
            position: text("{ticker}:{interval}"),
            ..chart
        }),
        "portfolio-manager" => Some(HookSettings {
            instrument: text("{instrument}"),
            signal_type: text("{type}"),
            position: text("{position}"),
            timestamp: text("{timestamp}"),
            time_zone: text("Asia/Kolkata"),
            duplicate_window_s: Some(60),
            ..HookSettings::default()
        }),
        "text" => Some(HookSettings {
            pattern: text(r"(?<action>[A-Za-z_]+) (?<instrument>\S+)(?: @ (?<price>[0-9]+(?:\.[0-9]+)?))?"),
            instrument: text("{instrument}"),
            signal_type: text("{action}"),
            position: text("{instrument}"),
            timestamp: text("received"),
            duplicate_window_s: Some(RECEIVED_WINDOW_S_MIN),
            ..HookSettings::default()
        }),
        _ => None,
    }
}
