//! The rules about TLS: a connection to another host is protected or permitted by name, and the files of TLS can be used.

use super::fault::Fault;
use super::signals::{self, HandlerProtection, Signals};
use super::{Engine, Judge, Key, Redis, StoreSetting};
use adapter_http::{HandlerUrl, Source, TlsSource};
use domain::transport::{Protection, is_this_host};
use leader_coordinator::ClientTls;
use std::path::PathBuf;

impl Redis {
    /// The settings of its files of TLS.
    pub const FILES: [Key; 3] = [Key::RedisCa, Key::RedisCertificate, Key::RedisKeyFile];

    /// The files of TLS.
    pub fn client_tls(&self) -> ClientTls {
        client_tls(self.ca.as_ref(), self.certificate.as_ref(), self.certificate_key.as_ref())
    }
}

/// The TLS settings of the next connection.
pub(super) fn source(tls: ClientTls) -> TlsSource {
    Source::new(move || tls.config())
}

/// The TLS settings of connections that have none of their own: the authorities of the system, and no certificate.
pub fn system_tls() -> TlsSource {
    source(ClientTls::default())
}

/// The files of TLS of one connection.
pub(super) fn client_tls(
    ca: Option<&PathBuf>,
    certificate: Option<&PathBuf>,
    key: Option<&PathBuf>,
) -> ClientTls {
    let tls = ca.into_iter().fold(ClientTls::default(), ClientTls::ca);
    certificate.zip(key).into_iter().fold(tls, |tls, (certificate, key)| tls.certificate(certificate, key))
}

impl Judge {
    /// A setting of a store has no effect without the store.
    pub(super) fn settings_need_their_store(&mut self) {
        let redis = [Key::RedisPrefix, Key::RedisTls, Key::RedisCa, Key::RedisCertificate, Key::RedisKeyFile];
        let postgres = [Key::PostgresSchema, Key::PostgresTls];
        for (engine, keys, missing) in [
            (Engine::Redis, &redis[..], "redis.url (COORDINATOR_REDIS_URL, --redis)"),
            (Engine::Postgres, &postgres[..], "postgres.url (COORDINATOR_POSTGRES_URL, --postgres)"),
        ] {
            if self.names(engine) {
                continue;
            }
            for key in keys.iter().filter(|key| self.written.contains_key(key)).collect::<Vec<_>>() {
                let message = format!("has no effect without {missing}");
                self.faults.push(Fault::new(self.place(*key), message));
            }
        }
    }

    /// A store on another host is reached by verified TLS, unless the setting permits everything by name.
    pub(super) fn is_protected(&mut self, engine: Engine, setting: StoreSetting<'_>) {
        let (Ok(Some(url)), Some(policy)) = setting else { return };
        let Err(what) = url.check_protection(engine, policy) else { return };
        let [written, file] = engine.keys();
        let place = self.place(if url.file().is_some() { file } else { written });
        self.faults.push(Fault::new(place, format!("is {what}")));
    }

    /// The files of TLS of Redis can be used, and have an effect.
    pub(super) fn redis_files(&mut self, redis: Option<&Redis>) {
        let keys = Redis::FILES;
        let (Some(redis), Some(first)) = (redis, keys.into_iter().find(|key| self.written.contains_key(key)))
        else {
            return;
        };
        if !redis.url.is_rediss() {
            let message = "has no effect without TLS: begin the URL of Redis with rediss";
            self.faults.push(Fault::new(self.place(first), message));
        }
        self.files_of_tls(keys, &redis.client_tls());
    }

    /// The files of an authority, a certificate and its key can be used.
    pub(super) fn files_of_tls(&mut self, [ca, certificate, key]: [Key; 3], tls: &ClientTls) {
        for (one, other) in [(certificate, key), (key, certificate)] {
            if self.written.contains_key(&one) && !self.written.contains_key(&other) {
                let message =
                    format!("needs {}: a certificate is of no use without its key", other.in_file());
                self.faults.push(Fault::new(self.place(one), message));
            }
        }
        if let Err(what) = tls.config() {
            let place = [ca, certificate, key].into_iter().find(|key| self.written.contains_key(key));
            self.faults.push(Fault::new(self.place(place.unwrap_or(ca)), format!("cannot be used: {what}")));
        }
    }

    /// A handler on another host is reached by `https`, unless the setting permits everything by name; the files of TLS and
    /// of secrets can be used, and have an effect.
    pub(super) fn handler_is_protected(&mut self, signals: &Signals) {
        let protection = &signals.protection;
        for (key, url) in [(Key::SignalsHandler, &signals.handler), (Key::SignalsLookup, &signals.lookup)] {
            let Some(url) = url.as_ref().filter(|url| !url.is_https()) else { continue };
            let exposure = if is_this_host(url.host()) {
                Protection::Local
            } else {
                Protection::Unprotected(
                    "the handler is on another host, and http does not protect the connection".to_owned(),
                )
            };
            let remedy = "Use https, or a proxy for TLS on this host";
            if let Err(what) = protection.tls.permits(&exposure, remedy, Key::SignalsHandlerTls.in_file()) {
                self.faults.push(Fault::new(self.place(key), format!("is {what}")));
            }
        }
        let files = [Key::SignalsHandlerTokenFile, Key::SignalsHandlerKeyFile];
        let of_handler = [&HandlerProtection::FILES[..], &files].concat();
        for key in of_handler.into_iter().filter(|key| self.written.contains_key(key)).collect::<Vec<_>>() {
            let uses_tls =
                [&signals.handler, &signals.lookup].into_iter().flatten().any(HandlerUrl::is_https);
            let message = if signals.handler.is_none() {
                "has no effect without signals.handler"
            } else if HandlerProtection::FILES.contains(&key) && !uses_tls {
                "has no effect without TLS: begin signals.handler with https"
            } else {
                continue;
            };
            self.faults.push(Fault::new(self.place(key), message.to_owned()));
        }
        let own_files = HandlerProtection::FILES.iter().any(|key| self.written.contains_key(key));
        if own_files {
            self.files_of_tls(HandlerProtection::FILES, &protection.client_tls());
        }
        for (key, path) in [
            (Key::SignalsHandlerTokenFile, &protection.token_file),
            (Key::SignalsHandlerKeyFile, &protection.key_file),
        ] {
            if let Some(Err(what)) = path.as_deref().map(signals::secret) {
                self.faults.push(Fault::new(self.place(key), what));
            }
        }
    }
}
