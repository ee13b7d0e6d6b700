//! The rules about TLS: a connection to another host is protected or permitted by name, and the files of TLS can be used.

use super::fault::Fault;
use super::{Engine, Judge, Key, Redis, StoreSetting};
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

/// The files of TLS of one connection.
fn client_tls(ca: Option<&PathBuf>, certificate: Option<&PathBuf>, key: Option<&PathBuf>) -> ClientTls {
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
}
