//! Many tasks of many limiters on one key: exactly the limit is allowed.

use ratelimit_client::{Backend, Limiter, Policy};
use ratelimit_harness::Setup;
use tokio::task::JoinSet;

use crate::{limiter, on_each, YEAR};

const LIMITERS: usize = 5;
const TASKS: usize = 40;
const CALLS: usize = 5;
const LIMIT: usize = 300;

#[test]
fn five_limiters_of_many_tasks_allow_exactly_the_limit() {
    on_each(async |binary| {
        let server = Setup::module(binary).start();
        let policies = [Policy::fixed, Policy::sliding, Policy::bucket];
        for (which, policy) in
            [Backend::Module, Backend::Script].iter().flat_map(|w| policies.map(|p| (w, p)))
        {
            let policy = policy(LIMIT as u64, YEAR);
            let mut limiters = Vec::new();
            for _ in 0..LIMITERS {
                let builder = limiter(&server).await.backend(*which).suffix_by_algorithm();
                limiters.push(builder.prefix(format!("{which:?}:")).build());
            }
            assert_eq!(allowed(&limiters, policy).await, LIMIT, "{which:?} {policy:?}");
        }
    });
}

#[test]
fn many_tasks_in_memory_allow_exactly_the_limit() {
    crate::run(async {
        let limiter = Limiter::memory(1).build();
        assert_eq!(allowed(&[limiter], Policy::bucket(150, YEAR)).await, 150);
    });
}

async fn allowed(limiters: &[Limiter], policy: Policy) -> usize {
    let mut tasks = JoinSet::new();
    for limiter in limiters.iter().flat_map(|limiter| vec![limiter.clone(); TASKS]) {
        tasks.spawn(async move {
            let mut allowed = 0;
            for _ in 0..CALLS {
                allowed += usize::from(limiter.check("k", &policy).await.unwrap().is_allowed());
            }
            allowed
        });
    }
    tasks.join_all().await.into_iter().sum()
}
