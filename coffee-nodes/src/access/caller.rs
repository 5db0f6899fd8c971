//! Who asks, whose a job is, and the two rules between them.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

/// Whose a job is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Owner {
    /// Who has shown a token: the name that stands before it in the file of tokens.
    Named(String),
    /// Whoever connects from the gateway's own machine, without a token.
    Loopback,
    /// Whoever connects from that address, without a token; of IPv6, from that network: the last 64 bits are zero, as each host
    /// of a network may take as many addresses as it likes.
    Address(IpAddr),
}

impl Owner {
    /// Who connects from there, as long as nothing else is known of it.
    pub fn of_peer(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_loopback() => Owner::Loopback,
            IpAddr::V6(address) => Owner::Address(network_of(address).into()),
            address => Owner::Address(address),
        }
    }
}

/// The first 64 bits.
fn network_of(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Named(name) => f.write_str(name),
            Owner::Loopback => f.write_str("loopback"),
            Owner::Address(IpAddr::V6(network)) => write!(f, "{network}/64"),
            Owner::Address(address) => write!(f, "{address}"),
        }
    }
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Sees and cancels its own jobs only, within limits.
    Client,
    /// Sees and cancels all jobs, and acts on nodes, without limits.
    Operator,
}

/// Who asks for something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Whose the jobs are that it begins.
    pub owner: Owner,
    /// What it may do.
    pub role: Role,
}

impl Caller {
    /// A caller on the machine itself, without a token, as programs are that have a cluster in their own process: an operator.
    pub fn local() -> Self {
        Caller { owner: Owner::Loopback, role: Role::Operator }
    }

    /// Who connects from there to a cluster that asks for no tokens: an operator from the machine itself, else a client.
    pub fn of_peer(address: IpAddr) -> Self {
        let owner = Owner::of_peer(address);
        let role = if owner == Owner::Loopback { Role::Operator } else { Role::Client };
        Caller { owner, role }
    }

    /// Whether a job of that owner is there for it, to be looked at and cancelled.
    pub fn may_see(&self, owner: &Owner) -> bool {
        self.role == Role::Operator || self.owner == *owner
    }

    /// For what only operators may do.
    ///
    /// # Errors
    /// Where it is none.
    pub fn demand_operator(&self) -> Result<(), Denied> {
        if self.role == Role::Operator { Ok(()) } else { Err(Denied::NoOperator) }
    }
}

/// Why a caller may not do what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It has shown no token.
    #[error("the cluster asks for a token")]
    NoToken,
    /// It has shown another.
    #[error("the token is none of the cluster's")]
    UnknownToken,
    /// It is a client.
    #[error("only an operator may do that")]
    NoOperator,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tokens_the_address_tells() {
        for (address, role, shown) in [
            ("127.0.0.1", Role::Operator, "loopback"),
            ("127.8.0.1", Role::Operator, "loopback"),
            ("::1", Role::Operator, "loopback"),
            ("::ffff:127.0.0.1", Role::Operator, "loopback"),
            ("10.0.0.7", Role::Client, "10.0.0.7"),
            ("::ffff:10.0.0.7", Role::Client, "10.0.0.7"),
            ("2001:db8::1", Role::Client, "2001:db8::/64"),
            ("2001:db8::ffff:0:0:1", Role::Client, "2001:db8::/64"),
            ("2001:db8:0:1::1", Role::Client, "2001:db8:0:1::/64"),
        ] {
            let caller = Caller::of_peer(address.parse().unwrap());
            assert_eq!((caller.role, caller.owner.to_string().as_str()), (role, shown), "{address}");
            assert_eq!(caller.demand_operator().is_ok(), role == Role::Operator);
        }
    }

    #[test]
    fn clients_see_their_own_and_operators_see_all() {
        let named = |name: &str| Owner::Named(name.to_owned());
        let caller = |owner: Owner, role| Caller { owner, role };
        let (client, operator) = (caller(named("a"), Role::Client), caller(named("o"), Role::Operator));
        // A name is no address, however it is written.
        for other in [named("b"), named("loopback"), Owner::Loopback, Owner::Address([10, 0, 0, 7].into())] {
            assert!(operator.may_see(&other) && !client.may_see(&other), "{other}");
        }
        assert!(client.may_see(&named("a")) && operator.may_see(&named("a")));
    }
}
