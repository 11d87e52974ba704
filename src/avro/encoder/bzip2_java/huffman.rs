//! The codes of one table.

use super::{Lengths, MAX_ALPHABET, MAX_CODE};

/// Code lengths by Huffman's algorithm, with the heap of bzip2, which decides among equal weights. The low eight bits of a weight
/// are the depth of its tree.
pub(super) fn make_lengths(lengths: &mut Lengths, frequencies: &[u32]) {
    let leaves = frequencies.len();
    let mut weights: Vec<u32> =
        std::iter::once(0).chain(frequencies.iter().map(|count| (*count).max(1) << 8)).collect();
    loop {
        weights.truncate(leaves + 1);
        let parents = tree(&mut weights, leaves);
        let mut is_too_long = false;
        for (leaf, length) in lengths.iter_mut().enumerate().take(leaves) {
            let (mut node, mut depth) = (leaf + 1, 0);
            while parents[node] > 0 {
                node = parents[node];
                depth += 1;
            }
            *length = depth;
            is_too_long |= usize::from(depth) > MAX_CODE;
        }
        if !is_too_long {
            return;
        }
        for weight in &mut weights[1..leaves] {
            *weight = (1 + (*weight >> 8) / 2) << 8;
        }
    }
}

/// Joins the two lightest nodes until there is one; the parent of each node, 0 for the last. Nodes are numbered from 1 on.
fn tree(weights: &mut Vec<u32>, leaves: usize) -> Vec<usize> {
    let mut parents = vec![0; 2 * leaves];
    let mut heap = Heap(vec![0]);
    (1..=leaves).for_each(|leaf| heap.push(leaf, weights));
    while heap.0.len() > 2 {
        let (first, second) = (heap.pop(weights), heap.pop(weights));
        let (a, b) = (weights[first], weights[second]);
        let node = weights.len();
        weights.push(((a & !0xff) + (b & !0xff)) | (1 + (a & 0xff).max(b & 0xff)));
        (parents[first], parents[second]) = (node, node);
        heap.push(node, weights);
    }
    parents
}

/// A heap of nodes, the lightest first. Place 0 holds node 0, which weighs nothing.
struct Heap(Vec<usize>);

impl Heap {
    fn push(&mut self, node: usize, weights: &[u32]) {
        let mut place = self.0.len();
        self.0.push(node);
        while weights[node] < weights[self.0[place >> 1]] {
            self.0[place] = self.0[place >> 1];
            place >>= 1;
        }
        self.0[place] = node;
    }

    /// Takes the lightest; there is one.
    fn pop(&mut self, weights: &[u32]) -> usize {
        let first = self.0.swap_remove(1);
        let Some(&node) = self.0.get(1) else { return first };
        let (mut place, last) = (1, self.0.len() - 1);
        loop {
            let mut below = place << 1;
            if below > last {
                break;
            }
            if below < last && weights[self.0[below + 1]] < weights[self.0[below]] {
                below += 1;
            }
            if weights[node] < weights[self.0[below]] {
                break;
            }
            self.0[place] = self.0[below];
            place = below;
        }
        self.0[place] = node;
        first
    }
}

/// The codes of a table: by length, then by symbol.
pub(super) fn codes(lengths: &Lengths, alphabet: usize) -> [u32; MAX_ALPHABET] {
    let (mut codes, mut code) = ([0; MAX_ALPHABET], 0);
    for length in 1..=MAX_CODE as u8 {
        for symbol in (0..alphabet).filter(|symbol| lengths[*symbol] == length) {
            codes[symbol] = code;
            code += 1;
        }
        code <<= 1;
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_no_longer_than_20_bits() {
        // Weights that grow as Fibonacci's numbers make the longest codes.
        let (mut frequencies, mut lengths) = (vec![1u32, 1], [0; MAX_ALPHABET]);
        (2..32).for_each(|at| frequencies.push(frequencies[at - 1] + frequencies[at - 2]));
        make_lengths(&mut lengths, &frequencies);
        assert!(lengths[..32].iter().all(|length| (1..=MAX_CODE as u8).contains(length)), "{:?}", &lengths[..32]);
        let space: f64 = lengths[..32].iter().map(|length| 0.5f64.powi(i32::from(*length))).sum();
        assert!((space - 1.0).abs() < 1e-9, "{space}");
    }
}
