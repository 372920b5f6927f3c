module metrics-apiserver/testbed/language

go 1.25
