//! tmp
use adapter_redis::*; use domain::id::*; use domain::ports::*; use std::time::Duration;
fn rss() -> String { std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmRSS")).unwrap().to_owned() }
#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    println!("{}", rss());
    let nonce = Nonce::new(9);
    let s = RedisStore::new(RedisConfig{url, prefix: "coordinator".into(), group: GroupId::parse("g").unwrap(), id: InstanceId::parse("i").unwrap(), nonce, ttl: Duration::from_secs(10), request_timeout: Duration::from_secs(3)}).unwrap();
    println!("{:?}", s.acquire(nonce.claim(1), None).await);
    println!("{:?}", s.inspect().await);
    println!("{:?}", s.renew(nonce.claim(1)).await);
    println!("{:?}", s.release(nonce.claim(1)).await);
    println!("{}", rss());
    let t = std::time::Instant::now();
    for _ in 0..2000 { s.inspect().await.unwrap_or_default(); }
    println!("{:?}/call {}", t.elapsed()/2000, rss());
}
