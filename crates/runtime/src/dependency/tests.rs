use super::*;
use crate::clock::SystemClock;

/// Answers every write with 429.
#[derive(Debug)]
struct Busy;

#[async_trait]
impl ClusterActor for Busy {
    async fn perform(&self, _request: &ClusterRequest, _dry_run: bool) -> Result<Performed, Failure> {
        Err(Failure::RateLimited { retry_after: None, message: "later".into() })
    }
}

#[tokio::test]
async fn a_budget_that_holds_says_nothing_against_the_api_server() {
    let object = ObjectRef::namespaced(Kind::Pod, "shop", "cart-1");
    let evict = ClusterRequest::Evict { pod: object.clone(), uid: "uid".into() };
    let patch = ClusterRequest::Patch { object, subresource: None, operations: Vec::new() };
    for (request, status, breaker) in [
        (evict, HealthStatus::Healthy, BreakerState::Closed),
        (patch, HealthStatus::Unhealthy, BreakerState::Open),
    ] {
        let (clock, options) = (Arc::new(SystemClock::new()), ResilienceOptions::default());
        let dependency = Dependency::new("kubernetes", &options, clock, Telemetry::new(), 1);
        let cluster = GuardedCluster(Arc::new(Busy), dependency.clone());
        for _ in 0..100 {
            assert!(cluster.perform(&request, false).await.is_err());
        }
        let health = dependency.health();
        assert_eq!((health.status, health.breaker), (status, Some(breaker)), "{request:?}");
    }
}
