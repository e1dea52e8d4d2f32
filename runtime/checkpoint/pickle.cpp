#include "runtime/checkpoint/pickle.h"

#include <unordered_map>

#include "runtime/check.h"
#include "runtime/checkpoint/pickle_names.h"

namespace demi {
namespace {

using Kind = PickleValue::Kind;
constexpr size_t kMaxOpcodes = 10'000'000, kMaxValues = 4'000'000, kMaxItems = 16'000'000;

class Machine {
  public:
    Machine(Pickle& pickle, const std::string& path) : p_(pickle), bytes_(*pickle.bytes), path_(path) {}

    void run() {
        if (bytes_.size() < 2 || byte_at(0) != 0x80) refuse("does not begin with PROTO");
        for (size_t opcodes = 0; at_ == 0 || opcode_ != '.'; ++opcodes) {
            start_ = at_;
            if (at_ == bytes_.size()) refuse("ends without STOP");
            opcode_ = byte_at(at_++);
            if (opcodes == kMaxOpcodes) refuse("more than ", kMaxOpcodes, " opcodes");
            step();
        }
        if (at_ != bytes_.size()) refuse("bytes follow its end");
    }

  private:
    template <class... Parts> [[noreturn]] void refuse(const Parts&... parts) const {
        fail("checkpoint", "'", path_, "': data.pkl, byte ", start_, " (", opcode_name(opcode_),
             "): ", parts...);
    }

    // ---- bytes
    uint8_t byte_at(size_t at) const { return static_cast<uint8_t>(bytes_[at]); }
    std::string_view take(uint64_t count) {
        if (count > bytes_.size() - at_)
            refuse("needs ", count, " bytes, ", bytes_.size() - at_, " are left");
        const std::string_view found = bytes_.substr(at_, count);
        at_ += count;
        return found;
    }
    uint64_t number(size_t count) {
        const std::string_view bytes = take(count);
        uint64_t value = 0;
        for (size_t i = count; i > 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[i - 1]);
        return value;
    }
    std::string_view line() {
        const size_t end = bytes_.find('\n', at_);
        if (end == std::string::npos) refuse("a line without an end");
        const std::string_view found = take(end - at_);
        ++at_;
        return found;
    }

    // ---- values
    uint32_t add(Kind kind, int64_t value = 0, std::string_view text = {}) {
        if (p_.values.size() == kMaxValues) refuse("more than ", kMaxValues, " values");
        p_.values.push_back({kind, value, text, {}});
        return static_cast<uint32_t>(p_.values.size() - 1);
    }
    void push(uint32_t id) { stack_.push_back(id); }
    size_t bottom() const { return marks_.empty() ? 0 : marks_.back(); }
    uint32_t pop() {
        if (stack_.size() <= bottom()) refuse("takes a value from an empty stack");
        const uint32_t id = stack_.back();
        stack_.pop_back();
        return id;
    }
    uint32_t top_id() const {
        if (stack_.size() <= bottom()) refuse("needs a value on the stack");
        return stack_.back();
    }
    PickleValue& top() { return p_.values[top_id()]; }
    std::vector<uint32_t> pop_mark() {
        if (marks_.empty()) refuse("needs a mark on the stack");
        const auto from = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
        std::vector<uint32_t> items(from, stack_.end());
        stack_.erase(from, stack_.end());
        marks_.pop_back();
        return items;
    }
    void append(PickleValue& to, const std::vector<uint32_t>& items) {
        items_ += items.size();
        if (items_ > kMaxItems) refuse("containers hold more than ", kMaxItems, " values");
        to.items.insert(to.items.end(), items.begin(), items.end());
    }
    void push_with(Kind kind, const std::vector<uint32_t>& items, std::string_view text = {}) {
        const uint32_t id = add(kind, 0, text);
        append(p_.values[id], items);
        push(id);
    }
    void push_tuple(size_t count) {
        std::vector<uint32_t> items(count);
        for (size_t i = count; i > 0; --i) items[i - 1] = pop();
        push_with(Kind::tuple, items);
    }

    void push_global(std::string_view module, std::string_view name) {
        std::string full = std::string(module) + "." + std::string(name);
        for (char c : full)
            if (c < 0x21 || c > 0x7e) refuse("the name of a class is not plain text");
        if (full.size() > 1000) refuse("the name of a class has ", full.size(), " characters");
        if (is_harmful(module, name))
            refuse("names ", full, ", which would run code if Python opened this file: refused");
        push(add(Kind::global, 0, *p_.globals.insert(std::move(full)).first));
    }

    // What Python would call with these arguments.
    void reduce() {
        const uint32_t id = pop();
        const PickleValue function = {p_[top_id()].kind, 0, p_[top_id()].text, {}}, &arguments = p_[id];
        pop();
        if (!function.is(Kind::global) && !function.is(Kind::object))
            refuse("calls what is no class or function");
        if (!arguments.is(Kind::tuple)) refuse("the arguments of ", function.text, " are no tuple");
        const std::string_view name = function.is(Kind::global) ? function.text : std::string_view();
        const uint32_t first = arguments.items.empty() ? 0 : arguments.items[0];
        if (name == "collections.OrderedDict" || name == "collections.defaultdict") {
            const bool pairs = arguments.items.size() == 1 && p_[first].is(Kind::list);
            push_with(Kind::dict, {});
            if (pairs) add_pairs(p_[first].items);
        } else if (name == "torch._utils._rebuild_tensor_v2" || name == "torch._utils._rebuild_tensor") {
            push_few(Kind::tensor, arguments);
        } else if (name == "torch._utils._rebuild_parameter" || name == "torch.Size" ||
                   name == "torch._utils._rebuild_parameter_with_state") {
            if (arguments.items.empty()) refuse(name, " without arguments");
            push(first);
        } else if (name == "torch._tensor._rebuild_from_type_v2" && arguments.items.size() > 2 &&
                   is_rebuild(
                       p_[first])) {  // a Parameter with attributes: (function, type, arguments, attributes)
            const uint32_t inner = arguments.items[2];
            push(first);
            push(inner);
            reduce();
        } else {
            push(add(Kind::object, 0, function.text));
        }
    }
    static bool is_rebuild(const PickleValue& value) {
        return value.is(Kind::global) && (value.text == "torch._utils._rebuild_tensor_v2" ||
                                          value.text == "torch._utils._rebuild_parameter");
    }
    void push_few(Kind kind, const PickleValue& from) {
        if (!from.is(Kind::tuple) || from.items.size() > 8) refuse("needs a tuple of at most 8 values");
        push_with(kind, std::vector<uint32_t>(from.items));
    }
    // OrderedDict([(key, value), ...]), as Python 2 wrote it.
    void add_pairs(const std::vector<uint32_t> pairs) {
        for (uint32_t id : pairs) {
            if ((!p_[id].is(Kind::tuple) && !p_[id].is(Kind::list)) || p_[id].items.size() != 2)
                refuse("an OrderedDict of what are no pairs");
            append(top(), std::vector<uint32_t>(p_[id].items));
        }
    }
    void store(const std::vector<uint32_t>& items, Kind kind) {
        PickleValue& to = top();
        if (to.is(Kind::object)) return;  // what an ignored object holds
        if (!to.is(kind)) refuse("the value on the stack is no ", kind == Kind::dict ? "dict" : "list");
        if (kind == Kind::dict && items.size() % 2 != 0) refuse("a key without a value");
        append(to, items);
    }

    void put(uint64_t index) { memo_[index] = top_id(); }
    void get(uint64_t index) {
        const auto found = memo_.find(index);
        if (found == memo_.end()) refuse("nothing was remembered as ", index);
        push(found->second);
    }
    void push_long(uint64_t count) {  // little-endian, two's complement
        const std::string_view bytes = take(count);
        if (count > 8) return push(add(Kind::none));
        uint64_t value = count > 0 && static_cast<uint8_t>(bytes[count - 1]) >= 0x80 ? ~uint64_t{0} : 0;
        for (size_t i = count; i > 0; --i) value = value << 8 | static_cast<uint8_t>(bytes[i - 1]);
        push(add(Kind::integer, static_cast<int64_t>(value)));
    }
    void push_text(uint64_t count) { push(add(Kind::text, 0, take(count))); }
    void push_bytes(uint64_t count) {
        take(count);
        push(add(Kind::none));
    }

    void step();

    Pickle& p_;
    const std::string_view bytes_;
    const std::string& path_;
    size_t at_ = 0, start_ = 0, items_ = 0;
    uint8_t opcode_ = 0x80;
    std::vector<uint32_t> stack_;
    std::vector<size_t> marks_;
    std::unordered_map<uint64_t, uint32_t> memo_;
};

void Machine::step() {
    switch (opcode_) {
    case 0x80:  // PROTO
        if (const uint64_t protocol = number(1); start_ != 0 || protocol < 2 || protocol > 5)
            refuse("protocol 2 to 5 is needed, at its beginning: got ", protocol);
        break;
    case 0x95: number(8); break;  // FRAME
    case '.':                     // STOP
        p_.root = pop();
        if (!stack_.empty() || !marks_.empty()) refuse("values are left on the stack");
        break;
    case '(': marks_.push_back(stack_.size()); break;                            // MARK
    case '0': pop(); break;                                                      // POP
    case '1': pop_mark(); break;                                                 // POP_MARK
    case '2': push(top_id()); break;                                             // DUP
    case 'N': push(add(Kind::none)); break;                                      // NONE
    case 0x88: push(add(Kind::boolean, 1)); break;                               // NEWTRUE
    case 0x89: push(add(Kind::boolean, 0)); break;                               // NEWFALSE
    case 'K': push(add(Kind::integer, static_cast<int64_t>(number(1)))); break;  // BININT1
    case 'M': push(add(Kind::integer, static_cast<int64_t>(number(2)))); break;  // BININT2
    case 'J': push(add(Kind::integer, static_cast<int32_t>(number(4)))); break;  // BININT
    case 0x8a: push_long(number(1)); break;                                      // LONG1
    case 0x8b: push_long(number(4)); break;                                      // LONG4
    case 'G': push_bytes(8); break;                                              // BINFLOAT
    case 'U':
    case 0x8c: push_text(number(1)); break;  // SHORT_BINSTRING, SHORT_BINUNICODE
    case 'T':
    case 'X': push_text(number(4)); break;   // BINSTRING, BINUNICODE
    case 0x8d: push_text(number(8)); break;  // BINUNICODE8
    case 'C': push_bytes(number(1)); break;  // SHORT_BINBYTES
    case 'B': push_bytes(number(4)); break;  // BINBYTES
    case 0x8e:
    case 0x96: push_bytes(number(8)); break;      // BINBYTES8, BYTEARRAY8
    case ')': push_with(Kind::tuple, {}); break;  // EMPTY_TUPLE
    case 0x85: push_tuple(1); break;
    case 0x86: push_tuple(2); break;
    case 0x87: push_tuple(3); break;
    case 't': push_with(Kind::tuple, pop_mark()); break;  // TUPLE
    case ']': push_with(Kind::list, {}); break;           // EMPTY_LIST
    case 'l': push_with(Kind::list, pop_mark()); break;   // LIST
    case '}': push_with(Kind::dict, {}); break;           // EMPTY_DICT
    case 'd': {                                           // DICT
        const std::vector<uint32_t> items = pop_mark();
        push_with(Kind::dict, {});
        store(items, Kind::dict);
        break;
    }
    case 'a': store({pop()}, Kind::list); break;     // APPEND
    case 'e': store(pop_mark(), Kind::list); break;  // APPENDS
    case 's': {                                      // SETITEM
        const uint32_t value = pop(), key = pop();
        store({key, value}, Kind::dict);
        break;
    }
    case 'u': store(pop_mark(), Kind::dict); break;       // SETITEMS
    case 0x8f: push(add(Kind::object, 0, "set")); break;  // EMPTY_SET
    case 0x90: pop_mark(); break;                         // ADDITEMS
    case 0x91:                                            // FROZENSET
        pop_mark();
        push(add(Kind::object, 0, "frozenset"));
        break;
    case 'q': put(number(1)); break;      // BINPUT
    case 'r': put(number(4)); break;      // LONG_BINPUT
    case 0x94: put(memo_.size()); break;  // MEMOIZE
    case 'h': get(number(1)); break;      // BINGET
    case 'j': get(number(4)); break;      // LONG_BINGET
    case 'c': {                           // GLOBAL
        const std::string_view module = line();
        push_global(module, line());
        break;
    }
    case 0x93: {  // STACK_GLOBAL
        const uint32_t name = pop(), module = pop();
        if (!p_[module].is(Kind::text) || !p_[name].is(Kind::text)) refuse("needs two texts");
        push_global(p_[module].text, p_[name].text);
        break;
    }
    case 'R':
    case 0x81: reduce(); break;  // REDUCE, NEWOBJ
    case 0x92:                   // NEWOBJ_EX, with keyword arguments
        pop();
        reduce();
        break;
    case 'b': pop(), top_id(); break;                     // BUILD: versions of modules, what an object holds
    case 'Q': push_few(Kind::storage, p_[pop()]); break;  // BINPERSID
    default: refuse("an opcode that no checkpoint needs");
    }
}

}  // namespace

Pickle parse_pickle(std::string bytes, const std::string& path) {
    Pickle pickle;
    pickle.bytes = std::make_shared<const std::string>(std::move(bytes));
    Machine(pickle, path).run();
    return pickle;
}

}  // namespace demi
