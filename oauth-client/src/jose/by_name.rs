use std::collections::HashMap;

/// So many names take less time to compare than one of them takes to hash.
const FEW: usize = 4;

/// What stands under this name, in a map that has a few names most of the time: the keys of an issuer, the issuers of a guard.
#[inline]
#[must_use]
pub fn by_name<'m, V>(map: &'m HashMap<Box<str>, V>, name: &str) -> Option<&'m V> {
    if map.len() > FEW {
        return map.get(name);
    }
    map.iter().find_map(|(one, value)| (**one == *name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_are_found_alike() {
        for count in 0..2 * FEW {
            let map: HashMap<Box<str>, usize> = (0..count).map(|n| (n.to_string().into(), n)).collect();
            for number in 0..count {
                assert_eq!(by_name(&map, &number.to_string()), Some(&number));
            }
            assert_eq!(by_name(&map, "another"), None);
        }
    }
}
