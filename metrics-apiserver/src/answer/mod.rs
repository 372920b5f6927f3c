//! One request → values: catalog, rule, memory, policies.
