//! Series calls at the same time: of all callers, and of one tenant.
//!
//! A call waits for its tenant's turn first and for everybody's then, so a tenant with many calls keeps none of the places that others
//! could have. Tenants that nobody waits for are forgotten when a new one comes. The map is behind one lock, held for a look.

use std::collections::HashMap;

use parking_lot::Mutex;
use sarsen_bucket::{Gate, Passage};

/// Where calls wait.
#[derive(Debug)]
pub(super) struct Turns {
    all: Gate,
    tenants: Mutex<HashMap<String, Gate>>,
}

/// A call that is at work; dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Turn {
    _of_all: Passage,
    _of_tenant: Option<Passage>,
}

impl Turns {
    /// `all` for everybody.
    pub(super) fn new(all: Gate) -> Self {
        Self { all, tenants: Mutex::default() }
    }

    /// Waits for its turn among at most `most` calls of this tenant; 0 is no bound. Callers without a name share one.
    pub(super) async fn take(&self, tenant: Option<&str>, most: u64) -> Turn {
        let gate = (most > 0).then(|| self.gate(tenant.unwrap_or_default(), most));
        let of_tenant = match gate {
            Some(gate) => Some(gate.enter().await),
            None => None,
        };
        Turn { _of_all: self.all.enter().await, _of_tenant: of_tenant }
    }

    fn gate(&self, tenant: &str, most: u64) -> Gate {
        let mut tenants = self.tenants.lock();
        if let Some(gate) = tenants.get(tenant) {
            return gate.clone();
        }
        tenants.retain(|_, gate| !gate.is_idle());
        tenants.entry(tenant.to_owned()).or_insert_with(|| Gate::new(most)).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_tenant_with_many_calls_leaves_places_for_others() {
        let all = Gate::new(3);
        let turns = Turns::new(all.clone());
        let loud = [turns.take(Some("loud"), 2).await, turns.take(Some("loud"), 2).await];
        let waits = tokio::time::timeout(Duration::from_millis(20), turns.take(Some("loud"), 2)).await;
        assert!(waits.is_err(), "a third call of the same tenant waits");
        let other = turns.take(Some("quiet"), 2).await;
        assert_eq!(all.inside(), 3);
        drop(loud);
        let _again = turns.take(Some("loud"), 2).await;
        drop(other);
        // Whoever is idle is forgotten when somebody new comes.
        let _new = turns.take(None, 2).await;
        assert_eq!(turns.tenants.lock().len(), 2);
    }

    #[tokio::test]
    async fn without_a_bound_tenants_are_not_told_apart() {
        let turns = Turns::new(Gate::new(0));
        let _held =
            [turns.take(Some("a"), 0).await, turns.take(Some("a"), 0).await, turns.take(None, 0).await];
        assert!(turns.tenants.lock().is_empty());
    }
}
