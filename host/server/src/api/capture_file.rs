//! Captures as a safetensors file.

use std::collections::BTreeMap;

use millm_engine::{Activation, captures};
use millm_plugin_api::{HookId, ModelSpec};
use safetensors::{
    Dtype as FileDtype, SafeTensorError,
    tensor::{Metadata, TensorInfo},
};

use super::{dtype::Dtype, pieces::Piece, reading::Item};
use crate::error::{ApiError, Kind};

/// What the metadata call the layout below.
const FORMAT: &str = "millm-capture-1";

/// The longest header that readers of the format accept.
const MAX_HEADER: usize = 100_000_000;

/// Refuses what would get a header that nobody can read, before anything is computed.
///
/// # Errors
///
/// `CaptureTooLarge`.
pub(crate) fn check(items: &[Item], points: &[HookId], spec: &ModelSpec) -> Result<(), ApiError> {
    let bytes = header_bytes(items, points, spec);
    if bytes <= MAX_HEADER {
        return Ok(());
    }
    let tensors = items.len() * (points.len() + 2);
    let message = format!(
        "A safetensors file of {tensors} tensors would have a header of {bytes} bytes; its readers accept \
         {MAX_HEADER}. Ask for fewer prompts or hook points, or for format=json."
    );
    let error = ApiError::new(Kind::CaptureTooLarge, message);
    Err(error.with("required_bytes", bytes).with("limit_bytes", MAX_HEADER))
}

/// At most this much header, and little less.
fn header_bytes(items: &[Item], points: &[HookId], spec: &ModelSpec) -> usize {
    /// Of one entry, what does not vary.
    const ENTRY: usize = r#""p.":{"dtype":"BF16","shape":[],"data_offsets":[,]},"#.len();
    /// Everything besides the entries; nobody's model has so long a name.
    const REST: usize = 4096;
    let digits = |number: usize| number.checked_ilog10().unwrap_or(0) as usize + 1;
    let axes = |shape: Vec<usize>| shape.into_iter().map(|axis| digits(axis) + 1).sum::<usize>();
    let hooks: Vec<_> = points.iter().filter_map(|point| spec.hook_points.get(point.0 as usize)).collect();
    let hooks: Vec<_> = hooks.into_iter().map(|hook| (hook.point.to_string().len(), hook.row)).collect();
    let (mut total, mut end) = (REST, 0);
    for (index, item) in items.iter().enumerate() {
        let (keys, positions) = (item.token_ids.len(), item.positions.len());
        end += 8 * (keys + positions);
        let own = [("tokens".len(), vec![keys]), ("positions".len(), vec![positions])];
        let read = hooks.iter().map(|(name, row)| (*name, captures::shape(*row, positions, keys)));
        for (name, shape) in own.into_iter().chain(read) {
            end += shape.iter().product::<usize>() * size_of::<f32>();
            total += ENTRY + digits(index) + name + axes(shape) + 2 * digits(end);
        }
    }
    total
}

/// The file in pieces, and its length in bytes.
///
/// Prompt `i` has the tensors `p{i}.tokens` and `p{i}.positions` (I64, `[T]` and `[positions]`) and one per hook point,
/// `p{i}.blocks.3.hook_resid_post`, in `dtype`. The metadata are `format`, `model` and `dtype`. The file is written by
/// hand, header first, because the crate's writer would hold all of it in memory a second time.
///
/// # Errors
///
/// If shapes and data contradict each other, which the crate checks.
pub(crate) fn write(
    model: &str,
    dtype: Dtype,
    prompts: Vec<(&Item, Vec<Activation>)>,
    name: impl Fn(HookId) -> String,
) -> Result<(u64, Vec<Piece>), SafeTensorError> {
    let mut infos = Vec::new();
    let mut data = Vec::new();
    let mut end = 0;
    let mut add = |name: String, dtype: FileDtype, shape: Vec<usize>, bytes: usize, piece: Piece| {
        let data_offsets = (end, end + bytes);
        end += bytes;
        infos.push((name, TensorInfo { dtype, shape, data_offsets }));
        data.push(piece);
    };
    // The widest first, so that every tensor is aligned.
    for (index, (item, _)) in prompts.iter().enumerate() {
        let tokens = item.token_ids.iter().map(|id| i64::from(*id)).collect();
        let positions = item.positions.iter().map(|position| *position as i64).collect();
        for (name, values) in [("tokens", tokens), ("positions", positions)] {
            let values: Vec<i64> = values;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            add(format!("p{index}.{name}"), FileDtype::I64, vec![values.len()], bytes.len(), Piece::Bytes(bytes));
        }
    }
    for (index, (_, activations)) in prompts.into_iter().enumerate() {
        for Activation { point, shape, data } in activations {
            let bytes = data.len() * dtype.size();
            let name = format!("p{index}.{}", name(point));
            add(name, dtype.in_safetensors(), shape, bytes, Piece::Binary(data, dtype));
        }
    }
    let metadata = [("format", FORMAT), ("model", model), ("dtype", dtype.as_str())];
    // The crate keeps these in no order; by themselves and sorted, the same capture is the same bytes every time.
    let mut header = serde_json::to_vec(&BTreeMap::from([("__metadata__", BTreeMap::from(metadata))]))?;
    let tensors = serde_json::to_vec(&Metadata::new(None, infos)?)?;
    // There are always tensors: those of the first prompt's tokens.
    header.pop();
    header.push(b',');
    header.extend_from_slice(tensors.get(1..).unwrap_or_default());
    drop(tensors);
    // The format pads the header with spaces.
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = 8 + header.len() as u64 + end as u64;
    let size = Piece::Bytes((header.len() as u64).to_le_bytes().into());
    Ok((length, [size, Piece::Bytes(header)].into_iter().chain(data).collect()))
}

#[cfg(test)]
mod tests {
    use millm_plugin_api::{HookPointSpec, RowShape};
    use safetensors::SafeTensors;

    use super::{super::pieces::tests::bytes_of, *};

    fn item(ids: &[u32], positions: &[usize]) -> Item {
        Item { token_ids: ids.into(), positions: positions.into() }
    }

    fn activation(point: u32, shape: &[usize], first: f32) -> Activation {
        let data = (0..shape.iter().product()).map(|i| first + i as f32).collect();
        Activation { point: HookId(point), shape: shape.into(), data }
    }

    #[tokio::test]
    async fn a_file_holds_every_prompt_under_its_number() {
        let (first, second) = (item(&[5, 6, 7], &[0, 2]), item(&[8], &[0]));
        for dtype in [Dtype::Float32, Dtype::Float16, Dtype::Bfloat16] {
            let prompts = vec![
                (&first, vec![activation(0, &[2, 3], 1.0), activation(1, &[1, 2, 3], 9.0)]),
                (&second, vec![activation(0, &[1, 3], 4.0)]),
            ];
            let (length, pieces) = write("org/name", dtype, prompts, |point| format!("hook{}", point.0)).unwrap();
            let bytes = bytes_of(pieces).await;
            assert_eq!(bytes.len() as u64, length);
            let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
            let metadata = metadata.metadata().clone().unwrap();
            assert_eq!((metadata["format"].as_str(), metadata["model"].as_str()), ("millm-capture-1", "org/name"));
            assert_eq!(metadata["dtype"], dtype.as_str());
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let mut names = file.names();
            names.sort_unstable();
            let expected =
                ["p0.hook0", "p0.hook1", "p0.positions", "p0.tokens", "p1.hook0", "p1.positions", "p1.tokens"];
            assert_eq!(names, expected);
            let tensor = file.tensor("p0.hook1").unwrap();
            assert_eq!((tensor.shape(), tensor.dtype()), (&[1, 2, 3][..], dtype.in_safetensors()));
            let mut numbers = Vec::new();
            dtype.write(&[9.0, 10.0, 11.0, 12.0, 13.0, 14.0], &mut numbers);
            assert_eq!(tensor.data(), numbers);
            let positions: Vec<u8> = [0_i64, 2].iter().flat_map(|value| value.to_le_bytes()).collect();
            assert_eq!(file.tensor("p0.positions").unwrap().data(), positions);
            assert_eq!(file.tensor("p1.tokens").unwrap().data(), 8_i64.to_le_bytes());
        }
    }

    #[tokio::test]
    async fn the_same_capture_is_the_same_bytes() {
        let prompt = item(&[1, 2], &[0, 1]);
        let file = || {
            let activations = (0..20).map(|point| activation(point, &[2, 1], 0.5)).collect();
            write("m", Dtype::Float32, vec![(&prompt, activations)], |point| format!("hook{}", point.0)).unwrap().1
        };
        let first = bytes_of(file()).await;
        for _ in 0..20 {
            assert!(bytes_of(file()).await == first);
        }
    }

    #[tokio::test]
    async fn a_header_is_no_longer_than_was_said_and_too_long_a_one_is_refused() {
        let hook = HookPointSpec::new("blocks.3.hook_resid_post".parse().unwrap(), RowShape::Flat { width: 2 });
        let spec = ModelSpec { hook_points: vec![hook], ..ModelSpec::default() };
        let items = |count| vec![item(&[1, 2], &[0, 1]); count];
        let (few, point) = (items(3000), HookId(0));
        let prompts = few.iter().map(|item| (item, vec![activation(0, &[2, 2], 0.0)])).collect();
        let (_, pieces) = write("m", Dtype::Float32, prompts, |_| "blocks.3.hook_resid_post".into()).unwrap();
        let Piece::Bytes(header) = &pieces[1] else { panic!("{:?}", pieces[1]) };
        let said = header_bytes(&few, &[point], &spec);
        assert!(header.len() <= said && said < header.len() * 5 / 4, "{said} for {}", header.len());
        assert_eq!(check(&few, &[point], &spec), Ok(()));
        let error = check(&items(10_000), &[point; 200], &spec).unwrap_err();
        assert_eq!(error.kind, Kind::CaptureTooLarge);
        assert!(error.message.contains("2020000 tensors"), "{}", error.message);
    }

    #[test]
    fn a_shape_that_the_data_do_not_fill_is_an_error() {
        let mut wrong = activation(0, &[2, 3], 0.0);
        wrong.shape = vec![7];
        let prompt = item(&[1, 2], &[0, 1]);
        assert!(write("m", Dtype::Float32, vec![(&prompt, vec![wrong])], |_| "x".into()).is_err());
    }
}
