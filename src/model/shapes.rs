//! Counts what a model computes, before the runtime sees it.
//!
//! tract multiplies weights with weights while it loads a model, so that a file of three megabytes may ask for
//! gigabytes, and a chain of small layers may take milliseconds a run. Both show in the shapes, which the few
//! operators that are allowed make plain: every tensor is a matrix of fixed size, known from its sources.
//!
//! What it cannot follow it refuses: a bundle is trained by code of ours, or by somebody who can do without.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto};

/// Numbers in what one node hands to another. The shipped heads hand on 32 at most; these are 256 KiB.
pub(super) const TENSOR_LEN_MAX: i64 = 1 << 16;

/// Rows and columns.
type Shape = (i64, i64);

/// The shapes of tensors, by their names.
struct Shapes<'g>(HashMap<&'g str, Shape>);

/// The multiplications of all nodes of a graph whose inputs are of these widths, an element of any other operator
/// counting as one.
///
/// # Errors
/// What does not fit, is too large, or cannot be followed.
pub(super) fn work<'g>(graph: &'g GraphProto, inputs: &[(&'g str, usize)]) -> Result<i64, String> {
    let mut shapes = Shapes(HashMap::new());
    for &(name, width) in inputs {
        shapes.insert(name, (1, width as i64))?;
    }
    for weights in &graph.initializer {
        let shape = matrix(&weights.dims).ok_or_else(|| format!("{:?} is no matrix", weights.name))?;
        shapes.insert(&weights.name, shape)?;
    }
    let mut work = 0_i64;
    for node in &graph.node {
        let (shape, own) = shapes.of(node)?;
        if shape.0.saturating_mul(shape.1) > TENSOR_LEN_MAX {
            return Err(format!("node {:?} makes {shape:?}", node.name));
        }
        let [output] = &node.output[..] else {
            return Err(format!("node {:?} is not of one output", node.name));
        };
        shapes.insert(output, shape)?;
        work = work.saturating_add(own);
    }
    Ok(work)
}

impl<'g> Shapes<'g> {
    fn insert(&mut self, name: &'g str, shape: Shape) -> Result<(), String> {
        match self.0.insert(name, shape) {
            Some(_) => Err(format!("{name:?} is there twice")),
            None => Ok(()),
        }
    }

    /// The shape of what a node makes, and its multiplications.
    fn of(&self, node: &NodeProto) -> Result<(Shape, i64), String> {
        let shapes: Option<Vec<Shape>> =
            node.input.iter().map(|name| self.0.get(name.as_str()).copied()).collect();
        let shapes =
            shapes.ok_or_else(|| format!("node {:?} reads what no node before it makes", node.name))?;
        let made = match (node.op_type.as_str(), &shapes[..]) {
            ("MatMul", [a, b]) => product(*a, *b),
            ("Gemm", [a, b]) => product(turned(*a, node, "transA"), turned(*b, node, "transB")),
            ("Gemm", [a, b, c]) => product(turned(*a, node, "transA"), turned(*b, node, "transB"))
                .and_then(|(shape, work)| Some((broadcast(shape, *c)?, work))),
            ("Add", [a, b]) => broadcast(*a, *b).map(with_elements),
            ("Relu" | "Sigmoid" | "Softmax", [a]) => Some(with_elements(*a)),
            _ => None,
        };
        made.ok_or_else(|| format!("node {:?} gets {shapes:?}", node.name))
    }
}

/// A list is a row.
fn matrix(dims: &[i64]) -> Option<Shape> {
    let shape = match *dims {
        [columns] => (1, columns),
        [rows, columns] => (rows, columns),
        _ => return None,
    };
    (shape.0 > 0 && shape.1 > 0).then_some(shape)
}

/// The shape as a `Gemm` reads it.
fn turned((rows, columns): Shape, node: &NodeProto, attribute: &str) -> Shape {
    let is_turned = node.attribute.iter().any(|one| one.name == attribute && one.i != 0);
    if is_turned { (columns, rows) } else { (rows, columns) }
}

fn product((rows, inner): Shape, (other, columns): Shape) -> Option<(Shape, i64)> {
    let work = rows.saturating_mul(inner).saturating_mul(columns);
    (inner == other).then_some(((rows, columns), work))
}

/// The shape of both together, one of which may be repeated along either side.
fn broadcast(one: Shape, other: Shape) -> Option<Shape> {
    let side = |one: i64, other: i64| (one == other || one == 1 || other == 1).then_some(one.max(other));
    Some((side(one.0, other.0)?, side(one.1, other.1)?))
}

fn with_elements(shape: Shape) -> (Shape, i64) {
    (shape, shape.0.saturating_mul(shape.1))
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{AttributeProto, TensorProto};

    use super::*;

    fn weights(name: &str, dims: &[i64]) -> TensorProto {
        TensorProto { name: name.into(), dims: dims.to_vec(), ..TensorProto::default() }
    }

    fn node(op_type: &str, input: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: op_type.into(),
            input: input.iter().map(ToString::to_string).collect(),
            output: vec![output.into()],
            name: output.into(),
            ..NodeProto::default()
        }
    }

    fn counted(weights: &[TensorProto], nodes: &[NodeProto]) -> Result<i64, String> {
        let graph =
            GraphProto { initializer: weights.to_vec(), node: nodes.to_vec(), ..GraphProto::default() };
        work(&graph, &[("x", 3)])
    }

    #[test]
    fn layers_cost_their_matrices_and_their_elements() {
        let known = [weights("w", &[3, 4]), weights("b", &[4]), weights("v", &[1, 4])];
        let transposed = AttributeProto { name: "transB".into(), i: 1, ..AttributeProto::default() };
        let last = NodeProto { attribute: vec![transposed], ..node("Gemm", &["v", "r"], "y") };
        let nodes = [node("Gemm", &["x", "w", "b"], "h"), node("Relu", &["h"], "r"), last];
        assert_eq!(counted(&known, &nodes), Ok(12 + 4 + 4));
    }

    #[test]
    fn weights_that_blow_up_when_they_meet_are_not_multiplied() {
        let side = |rows, columns| [weights("a", &[rows, 1]), weights("b", &[1, columns])];
        let meet = [node("MatMul", &["a", "b"], "c")];
        assert_eq!(counted(&side(256, 256), &meet), Ok(TENSOR_LEN_MAX));
        assert!(counted(&side(256, 257), &meet).unwrap_err().contains("makes (256, 257)"));
        let added = [node("Add", &["a", "b"], "c")];
        assert!(counted(&side(256, 257), &added).unwrap_err().contains("makes (256, 257)"));
    }

    #[test]
    fn what_does_not_fit_or_cannot_be_followed_is_refused() {
        let one = [weights("w", &[3, 4])];
        let refused = |nodes: &[NodeProto]| counted(&one, nodes).unwrap_err();
        assert!(refused(&[node("MatMul", &["w", "x"], "y")]).contains("gets"));
        assert!(refused(&[node("MatMul", &["x", "y"], "y")]).contains("reads what no node before it makes"));
        assert!(refused(&[node("MatMul", &["x", "w"], "w")]).contains("is there twice"));
        let twice = [one[0].clone(), one[0].clone()];
        assert!(counted(&twice, &[]).unwrap_err().contains("is there twice"));
        for dims in [&[3, 4, 5][..], &[], &[0], &[-3, -4]] {
            assert!(counted(&[weights("w", dims)], &[]).unwrap_err().contains("is no matrix"), "{dims:?}");
        }
    }
}
