#!/usr/bin/env python3
"""Writes what mmengine reads from config files, to compare Duet's reader with it.

For each config FILE below the given folders there are FILE.json, with the values that
mmengine.Config gives, and FILE.dump.py with FILE.dump.py.json, the text that mmengine writes into
checkpoints. unit.detector_service.config compares them: those in tests/data/configs always, more
if DUET_CONFIG_CORPUS names a folder.

Needs mmengine and yapf, for other folders' configs also the packages that these belong to:

    python tools/make_config_corpus.py --out=/tmp/corpus SITE_PACKAGES/{mmdet,mmyolo}/.mim/configs
    python tools/make_config_corpus.py tests/data/configs     # beside the files
"""
import argparse
import json
import math
import pathlib

from mmengine.config import Config


def to_json(value):
    """Tuples are lists; what JSON lacks is {'$': …}; keys that are no texts are left out."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {'$': repr(value)}
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items() if isinstance(key, str)}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return {'$': 'opaque'}


def write(config, path, out):
    values = to_json(config._cfg_dict.to_dict())
    out.write_text(json.dumps({'config': str(path), 'values': values}, ensure_ascii=False))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folders', nargs='+', type=pathlib.Path)
    parser.add_argument('--out', type=pathlib.Path, help='default: beside the files')
    parser.add_argument('--only', nargs='*', default=[], help='parts of paths')
    args = parser.parse_args()
    for folder in args.folders:
        for path in sorted(folder.rglob('*.py')):
            if '.dump.' in path.name or '_base_' in path.parts[len(folder.parts):-1]:
                continue
            if args.only and not any(part in str(path) for part in args.only):
                continue
            name = '_'.join(path.relative_to(folder).parts)
            out = args.out or path.parent
            out.mkdir(parents=True, exist_ok=True)
            try:
                config = Config.fromfile(path, use_environment_variables=False)
            except Exception as error:  # of packages that are not here
                print(f'{path}: skipped: {type(error).__name__}: {error}')
                continue
            dump = out / f'{name}.dump.py'
            dump.write_text(config.pretty_text)
            write(config, path.resolve() if args.out else path.name, out / f'{name}.json')
            # The same values: mmengine can't read the inf that it writes.
            write(config, dump.resolve() if args.out else dump.name, out / f'{name}.dump.py.json')


if __name__ == '__main__':
    main()
