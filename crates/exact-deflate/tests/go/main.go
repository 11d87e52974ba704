// What Go's compress/flate makes, for the tests of exact-deflate. `go run main.go vectors > ../go.txt` makes the golden
// vectors; without an argument it compresses what comes on standard input, until that ends:
//
//	level (1 byte, signed), way (1 byte), length (4 bytes, little end first), bytes
//
// and answers each with a length and the stream. Ways: 0 a new writer, 1 one that was used before and reset, 2 a new
// writer that gets the bytes in pieces of 1000.
package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"runtime"
)

var kept = map[int]*flate.Writer{}

func compress(level int, way byte, plain []byte) []byte {
	var out bytes.Buffer
	writer := kept[level]
	if way != 1 || writer == nil {
		var err error
		if writer, err = flate.NewWriter(&out, level); err != nil {
			panic(err)
		}
		kept[level] = writer
	} else {
		writer.Reset(&out)
	}
	if way == 2 {
		for len(plain) > 1000 {
			write(writer, plain[:1000])
			plain = plain[1000:]
		}
	}
	write(writer, plain)
	if err := writer.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func write(writer io.Writer, plain []byte) {
	if _, err := writer.Write(plain); err != nil {
		panic(err)
	}
}

func serve() {
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriterSize(os.Stdout, 1<<20)
	for {
		var head [6]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		plain := make([]byte, binary.LittleEndian.Uint32(head[2:]))
		if _, err := io.ReadFull(in, plain); err != nil {
			panic(err)
		}
		stream := compress(int(int8(head[0])), head[1], plain)
		var length [4]byte
		binary.LittleEndian.PutUint32(length[:], uint32(len(stream)))
		write(out, length[:])
		write(out, stream)
		if in.Buffered() == 0 {
			out.Flush()
		}
	}
}

// The generator of chromium.mjs.
func generate(seed uint32, length int) []byte {
	state := seed*0x9e3779b1 | 1
	next := func() int {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		return int(state)
	}
	alphabet := []int{2, 20, 256}[seed%3]
	reach := []int{500, 5000, 40000, 100000}[seed>>1%4]
	longest := []int{5, 30, 400}[seed>>2%3]
	data := make([]byte, 0, length)
	for len(data) < length {
		r := next()
		if len(data) == 0 || r&3 == 0 {
			for n := r>>2&3 + 1; n > 0 && len(data) < length; n-- {
				data = append(data, byte(next()>>8%alphabet))
			}
		} else {
			back := 1 + next()%min(len(data), reach)
			for n := 1 + next()%longest; n > 0 && len(data) < length; n-- {
				data = append(data, data[len(data)-back])
			}
		}
	}
	return data
}

func vectors() {
	fmt.Println("#", runtime.Version())
	lengths := []int{0, 1, 2, 3, 4, 5, 7, 12, 16, 17, 40, 127, 128, 300, 1000, 5000, 20000, 65272, 65274, 65275, 65300,
		65534, 65535, 65536, 65537, 65600, 98042, 98304, 98305, 131070, 150640, 400000}
	seed := uint32(1)
	for _, length := range lengths {
		for _, level := range []int{-2, 1, 2, 3, 4, 5, 6, 7, 8, 9} {
			again := 3
			if length > 150640 {
				again = 1
			}
			for ; again > 0; again-- {
				out := compress(level, 0, generate(seed, length))
				hash := fnv.New32a()
				hash.Write(out)
				fmt.Println(seed, length, level, len(out), hash.Sum32())
				seed++
			}
		}
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "vectors" {
		vectors()
	} else {
		serve()
	}
}
