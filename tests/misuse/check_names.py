"""Fails where a public function has no walk in the misuse test.

usage: check_names.py ROOT HEADERS...
Reads the declarations of the public headers (functions, methods, constructors, operators) and the names that the files
in tests/misuse/ walk: string literals such as "Tensor::slice" or "softmax", and the rows of the table that they include. What needs no walk stands in EXEMPT, with
the reason.
"""
import glob
import os
import re
import sys

# name or header -> why
EXEMPT = {
    'Inputs::operator[]': 'as of a span: the index is the caller\'s',
    'constant_bytes': 'reads the bytes that a pointer names',
    'convert': 'reads and writes what two pointers name',
    'crc32c': 'reads the bytes that a pointer names',
    'Buffer::drop': 'what views the memory must not be read until it is back',
    'Buffer::dropped': 'as drop',
    'Buffer::fill_restored': 'reads the bytes that a pointer names',
    'Buffer::restore': 'as drop',
    'DataParallel::enter': 'takes the addresses of a struct',
    'DataParallel::leave': 'takes the addresses of a struct',
    'ForwardContext::in_unit': 'as DataParallel::enter',
    'UnitScope::enter': 'as DataParallel::enter',
    'UnitScope::leave': 'as DataParallel::enter',
    'models/flat_model.h': 'what DataParallel, which has a walk, is made of',
    'runtime/comm/job.h': 'not in libdemi: the launcher decides what it does',
    'runtime/host_memory.h': 'internal: what the allocator stands on',
    'Needs::operator[]': 'as of a vector: the index is the caller\'s',
    'Shape::operator[]': 'as of an array: the index is the caller\'s',
}


def without_comments(text):
    text = re.sub(r'//[^\n]*|/\*.*?\*/', '', text, flags=re.S)
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', text)
    return re.sub(r'^[ \t]*#(?:\\\n|[^\n])*', '', text, flags=re.M)


def without_templates(text):
    """Takes template argument lists away, innermost first; operators of comparison and shift stay."""
    text = re.sub(r'operator\s*(<=>|<<|>>|<=|>=|<|>)', lambda m: 'operator' + ''.join('LSG'['<=>'.index(c)] for c in m[1]), text)
    before = ''
    while before != text:
        before, text = text, re.sub(r'<[^<>;{}]*>', ' ', text)
    return text.replace('->', ' ')


def function_name(statement):
    """The name that a statement declares as a function, or ''."""
    text = without_templates(statement).strip()
    if re.match(r'(using|typedef|friend|static_assert|enum)\b', text) or re.search(r'=\s*delete$', text):
        return ''
    head = re.match(r'[^(=]*?(operator\s*(?:\(\)|\[\]|[^\s\w(]+|[LSG]+|\s[\w:]+[&*\s]*(?:\w+)?)|~?\w+)\s*\(', text)
    if not head or text[head.end():].lstrip().startswith('*') or head[1].startswith('~') or head[1] in ('alignas', 'decltype', 'noexcept', 'requires'):
        return ''
    name = re.sub(r'\s+', ' ', head[1]).strip()
    return re.sub(r'[LSG]', lambda m: dict(zip('LSG', '<=>'))[m[0]], name) if name.startswith('operator') else name


def functions(text):
    """The names of all public functions in a header's text."""
    scopes, statement, found = [], '', []       # scope: [kind, name, public]

    def finish(opens_body):
        nonlocal statement
        outside = all(kind in ('namespace', 'class') and public for kind, _, public in scopes)
        name = function_name(statement) if outside else ''
        if name:
            found.append('::'.join([n for kind, n, _ in scopes if kind == 'class'] + [name]))
        statement = ''

    depth = 0                                   # of round brackets
    text = re.sub(r'\b(public|private|protected)\s*:(?!:)', r'@\1@', without_comments(text))
    for token in re.findall(r'[{}();]|@\w+@|[^{}();@]+', text):
        access = re.match(r'@(\w+)@', token)
        depth += (token == '(') - (token == ')')
        if access and scopes and scopes[-1][0] == 'class' and not statement.strip():
            scopes[-1][2] = access[1] == 'public'
            statement = ''
        elif token == '{' and depth == 0:
            head = without_templates(statement).strip()
            kind = re.match(r'(?:inline )?(namespace|enum|class|struct)\b(?: class)?\s*([\w:]*)', re.sub(r'^template\s*', '', head))
            if kind and '(' not in head:
                public = kind[2] != 'detail' if kind[1] == 'namespace' else kind[1] != 'class'
                scopes.append(['class' if kind[1] in ('class', 'struct') else kind[1], kind[2], public])
                statement = ''
            else:
                finish(True)
                scopes.append(['body', '', False])
        elif token == '}' and depth == 0:
            scopes.pop()
            statement = ''
        elif token == ';' and depth == 0:
            finish(False)
        else:
            statement += token
    return found


def main():
    root, headers = sys.argv[1], sys.argv[2:]
    literals = []
    for path in glob.glob(os.path.join(root, 'tests', 'misuse', '*.cpp')):
        with open(path, encoding='utf-8') as f:
            literals += re.findall(r'"((?:\\.|[^"\\])*)"', f.read())
    with open(os.path.join(root, 'ops/elementwise/functions.inc'), encoding='utf-8') as f:
        literals += re.findall(r'^FUNCTION\((\w+)', f.read(), re.M)
    walked = set(re.findall(r'[\w:]*operator ?[^\s,]+|[\w:]+', ' '.join(literals)))
    missing = 0
    for header in headers:
        if header in EXEMPT:
            continue
        with open(os.path.join(root, header), encoding='utf-8') as f:
            names = functions(f.read())
        for name in dict.fromkeys(names):
            if name not in walked and name not in EXEMPT:
                missing += 1
                print(f'{header}: {name} has no walk in tests/misuse/')
    return 1 if missing else 0


if __name__ == '__main__':
    sys.exit(main())
