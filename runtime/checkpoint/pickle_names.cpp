#include "runtime/checkpoint/pickle_names.h"

#include <algorithm>
#include <iterator>

namespace demi {
namespace {

struct Opcode {
    uint8_t code;
    const char* name;
};
constexpr Opcode kOpcodes[] = {
    {'(', "MARK"},          {'.', "STOP"},
    {'0', "POP"},           {'1', "POP_MARK"},
    {'2', "DUP"},           {'F', "FLOAT"},
    {'I', "INT"},           {'J', "BININT"},
    {'K', "BININT1"},       {'L', "LONG"},
    {'M', "BININT2"},       {'N', "NONE"},
    {'P', "PERSID"},        {'Q', "BINPERSID"},
    {'R', "REDUCE"},        {'S', "STRING"},
    {'T', "BINSTRING"},     {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},       {'X', "BINUNICODE"},
    {'a', "APPEND"},        {'b', "BUILD"},
    {'c', "GLOBAL"},        {'d', "DICT"},
    {'e', "APPENDS"},       {'g', "GET"},
    {'h', "BINGET"},        {'i', "INST"},
    {'j', "LONG_BINGET"},   {'l', "LIST"},
    {'o', "OBJ"},           {'p', "PUT"},
    {'q', "BINPUT"},        {'r', "LONG_BINPUT"},
    {'s', "SETITEM"},       {'t', "TUPLE"},
    {'u', "SETITEMS"},      {')', "EMPTY_TUPLE"},
    {']', "EMPTY_LIST"},    {'}', "EMPTY_DICT"},
    {'B', "BINBYTES"},      {'C', "SHORT_BINBYTES"},
    {'G', "BINFLOAT"},      {0x80, "PROTO"},
    {0x81, "NEWOBJ"},       {0x82, "EXT1"},
    {0x83, "EXT2"},         {0x84, "EXT4"},
    {0x85, "TUPLE1"},       {0x86, "TUPLE2"},
    {0x87, "TUPLE3"},       {0x88, "NEWTRUE"},
    {0x89, "NEWFALSE"},     {0x8a, "LONG1"},
    {0x8b, "LONG4"},        {0x8c, "SHORT_BINUNICODE"},
    {0x8d, "BINUNICODE8"},  {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},    {0x92, "NEWOBJ_EX"},
    {0x93, "STACK_GLOBAL"}, {0x94, "MEMOIZE"},
    {0x95, "FRAME"},        {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},  {0x98, "READONLY_BUFFER"},
};

constexpr std::string_view kModules[] = {
    "os",
    "posix",
    "nt",
    "subprocess",
    "sys",
    "runpy",
    "importlib",
    "imp",
    "shutil",
    "pty",
    "socket",
    "ctypes",
    "code",
    "codeop",
    "commands",
    "webbrowser",
    "pickle",
    "_pickle",
    "marshal",
    "timeit",
    "pdb",
    "bdb",
    "pip",
    "platform",
    "pydoc",
    "trace",
    "profile",
    "cProfile",
    "urllib",
    "http",
    "requests",
    "io",
    "_io",
    "distutils",
    "idlelib",
    "lib2to3",
    "_posixsubprocess",
    "asyncio",
};
constexpr std::string_view kBuiltins[] = {"eval", "exec",  "execfile", "compile",    "__import__", "open",
                                          "file", "input", "apply",    "breakpoint", "globals",    "vars"};

template <class Names> bool among(const Names& names, std::string_view name) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

}  // namespace

std::string opcode_name(uint8_t opcode) {
    for (const Opcode& known : kOpcodes)
        if (known.code == opcode) return known.name;
    constexpr const char* kHex = "0123456789abcdef";
    return std::string("opcode 0x") + kHex[opcode >> 4] + kHex[opcode & 15];
}

bool is_harmful(std::string_view module, std::string_view name) {
    const std::string_view outer = module.substr(0, module.find('.'));
    if (outer == "builtins" || outer == "__builtin__")
        return among(kBuiltins, name.substr(0, name.find('.')));
    return among(kModules, outer);
}

}  // namespace demi
