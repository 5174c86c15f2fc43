	.file	"<string>"
	.section	.ltext,"axl",@progbits
	.globl	_ZN8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE
	.p2align	4
	.type	_ZN8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE,@function
_ZN8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE:
	.cfi_startproc
	pushq	%rbp
	.cfi_def_cfa_offset 16
	pushq	%r15
	.cfi_def_cfa_offset 24
	pushq	%r14
	.cfi_def_cfa_offset 32
	pushq	%r13
	.cfi_def_cfa_offset 40
	pushq	%r12
	.cfi_def_cfa_offset 48
	pushq	%rbx
	.cfi_def_cfa_offset 56
	subq	$104, %rsp
	.cfi_def_cfa_offset 160
	.cfi_offset %rbx, -56
	.cfi_offset %r12, -48
	.cfi_offset %r13, -40
	.cfi_offset %r14, -32
	.cfi_offset %r15, -24
	.cfi_offset %rbp, -16
	movq	%r9, 88(%rsp)
	movq	%rcx, 80(%rsp)
	movq	%rdx, %r14
	movq	%rsi, 48(%rsp)
	movq	%rdi, %r15
	movq	368(%rsp), %r12
	movq	312(%rsp), %rbx
	movq	216(%rsp), %rbp
	movabsq	$NRT_incref, %r13
	movq	%rdx, %rdi
	callq	*%r13
	movq	%rbp, %rdi
	callq	*%r13
	movq	%rbx, %rdi
	callq	*%r13
	movq	%r12, %rdi
	callq	*%r13
	xorl	%r12d, %r12d
	cmpq	$0, 168(%rsp)
	jle	.LBB0_9
	cmpq	$0, 288(%rsp)
	jle	.LBB0_9
	movq	184(%rsp), %rdx
	imulq	176(%rsp), %rdx
	movq	264(%rsp), %rsi
	movq	248(%rsp), %rdi
	movq	160(%rsp), %r8
	xorl	%ebx, %ebx
	xorl	%eax, %eax
	movq	%r15, 40(%rsp)
	movq	%rdx, 8(%rsp)
.LBB0_3:
	leaq	1(%rax), %rcx
	movq	%rcx, 56(%rsp)
	movq	%rax, %rcx
	imulq	%rdx, %rcx
	leaq	(%r8,%rcx,4), %rcx
	movq	%rcx, 72(%rsp)
	imulq	%rsi, %rax
	leaq	(%rdi,%rax,4), %rax
	movq	%rax, 64(%rsp)
	xorl	%r12d, %r12d
	movq	288(%rsp), %r13
	.p2align	4
.LBB0_4:
	movq	%r14, %rdi
	movabsq	$NRT_incref, %r15
	callq	*%r15
	movq	%rbp, %rdi
	callq	*%r15
	vxorps	%xmm0, %xmm0, %xmm0
	vmovaps	%xmm0, 16(%rsp)
	leaq	16(%rsp), %rdi
	leaq	96(%rsp), %rsi
	movq	%r12, %rdx
	movq	%r13, %rcx
	movq	%r14, %r8
	movq	80(%rsp), %r9
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	432(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	424(%rsp)
	.cfi_adjust_cfa_offset 8
	movq	416(%rsp), %rax
	pushq	%rax
	.cfi_adjust_cfa_offset 8
	pushq	224(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	408(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	%rax
	.cfi_adjust_cfa_offset 8
	pushq	408(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	pushq	408(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	408(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	400(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	400(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	304(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	328(%rsp)
	.cfi_adjust_cfa_offset 8
	pushq	256(%rsp)
	.cfi_adjust_cfa_offset 8
	movabsq	$_ZN5xbind7kernels11cpu_augment10_trace_rowB2v2B106c8tJTIeFIjxB2IKSgI4CrvSCKg1MMbCQQPKkLTj8gEEF9aYtuj_2br1ZPz80qKEpNL1HUU1IuASas4PxnEzCuuUq_2fVBEZAEcQiTQA_3dExx5ArrayIfLi2E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE, %rax
	callq	*%rax
	addq	$256, %rsp
	.cfi_adjust_cfa_offset -256
	testl	%eax, %eax
	jne	.LBB0_8
	incq	%r12
	addq	24(%rsp), %rbx
	subq	16(%rsp), %rbx
	movq	%rbp, %rdi
	movabsq	$NRT_decref, %r15
	callq	*%r15
	movq	%r14, %rdi
	callq	*%r15
	cmpq	%r12, %r13
	jne	.LBB0_4
	movq	56(%rsp), %rax
	cmpq	168(%rsp), %rax
	movq	40(%rsp), %r15
	movl	$0, %r12d
	movq	8(%rsp), %rdx
	movq	264(%rsp), %rsi
	movq	248(%rsp), %rdi
	movq	160(%rsp), %r8
	jne	.LBB0_3
	jmp	.LBB0_10
.LBB0_9:
	xorl	%ebx, %ebx
.LBB0_10:
	movq	%rbp, %rdi
	movabsq	$NRT_decref, %r13
	callq	*%r13
	movq	368(%rsp), %rdi
	callq	*%r13
	movq	%r14, %rdi
	callq	*%r13
	movq	312(%rsp), %rdi
	callq	*%r13
	movq	%rbx, (%r15)
	jmp	.LBB0_11
.LBB0_8:
	movq	48(%rsp), %rcx
	movq	$0, (%rcx)
	movl	%eax, %r12d
.LBB0_11:
	movl	%r12d, %eax
	addq	$104, %rsp
	.cfi_def_cfa_offset 56
	popq	%rbx
	.cfi_def_cfa_offset 48
	popq	%r12
	.cfi_def_cfa_offset 40
	popq	%r13
	.cfi_def_cfa_offset 32
	popq	%r14
	.cfi_def_cfa_offset 24
	popq	%r15
	.cfi_def_cfa_offset 16
	popq	%rbp
	.cfi_def_cfa_offset 8
	retq
.Lfunc_end0:
	.size	_ZN8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE, .Lfunc_end0-_ZN8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE
	.cfi_endproc

	.globl	_ZN7cpython8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE
	.p2align	4
	.type	_ZN7cpython8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE,@function
_ZN7cpython8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE:
	.cfi_startproc
	pushq	%rbp
	.cfi_def_cfa_offset 16
	pushq	%r15
	.cfi_def_cfa_offset 24
	pushq	%r14
	.cfi_def_cfa_offset 32
	pushq	%r13
	.cfi_def_cfa_offset 40
	pushq	%r12
	.cfi_def_cfa_offset 48
	pushq	%rbx
	.cfi_def_cfa_offset 56
	subq	$616, %rsp
	.cfi_def_cfa_offset 672
	.cfi_offset %rbx, -56
	.cfi_offset %r12, -48
	.cfi_offset %r13, -40
	.cfi_offset %r14, -32
	.cfi_offset %r15, -24
	.cfi_offset %rbp, -16
	movq	%rsi, %rdi
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	leaq	192(%rsp), %r10
	leaq	200(%rsp), %r11
	leaq	208(%rsp), %rbx
	leaq	216(%rsp), %r14
	leaq	224(%rsp), %r15
	movabsq	$.const.trace_only, %rsi
	movabsq	$PyArg_UnpackTuple, %r12
	leaq	240(%rsp), %r8
	leaq	232(%rsp), %r9
	movl	$7, %edx
	movl	$7, %ecx
	xorl	%eax, %eax
	pushq	%r10
	.cfi_adjust_cfa_offset 8
	pushq	%r11
	.cfi_adjust_cfa_offset 8
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	callq	*%r12
	addq	$48, %rsp
	.cfi_adjust_cfa_offset -48
	vxorps	%xmm0, %xmm0, %xmm0
	vmovups	%ymm0, 240(%rsp)
	vmovups	%ymm0, 264(%rsp)
	vmovups	%ymm0, 304(%rsp)
	vmovups	%ymm0, 336(%rsp)
	movq	$0, 368(%rsp)
	movq	$0, 16(%rsp)
	movq	$0, 56(%rsp)
	testl	%eax, %eax
	je	.LBB1_35
	movabsq	$_ZN08NumbaEnv8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE, %rax
	cmpq	$0, (%rax)
	je	.LBB1_23
	movq	232(%rsp), %rdi
	vmovups	%ymm0, 384(%rsp)
	vmovups	%ymm0, 416(%rsp)
	vmovups	%ymm0, 440(%rsp)
	movabsq	$NRT_adapt_ndarray_from_python, %rax
	leaq	384(%rsp), %rsi
	vzeroupper
	callq	*%rax
	cmpq	$4, 408(%rsp)
	setne	%cl
	testl	%eax, %eax
	setne	%bl
	orb	%cl, %bl
	cmpb	$1, %bl
	je	.LBB1_25
	testb	%bl, %bl
	jne	.LBB1_35
.LBB1_4:
	movq	384(%rsp), %r13
	movq	392(%rsp), %r14
	movq	416(%rsp), %r15
	movq	424(%rsp), %r12
	movq	432(%rsp), %rbp
	movq	440(%rsp), %rax
	movq	%rax, 8(%rsp)
	movq	456(%rsp), %rax
	movq	%rax, 176(%rsp)
	movq	464(%rsp), %rax
	movq	%rax, 168(%rsp)
	movq	224(%rsp), %rdi
	vxorps	%xmm0, %xmm0, %xmm0
	vmovups	%ymm0, 480(%rsp)
	vmovups	%ymm0, 512(%rsp)
	movq	$0, 544(%rsp)
	leaq	480(%rsp), %rsi
	movabsq	$NRT_adapt_ndarray_from_python, %rax
	vzeroupper
	callq	*%rax
	cmpq	$4, 504(%rsp)
	setne	%cl
	testl	%eax, %eax
	setne	%bl
	orb	%cl, %bl
	jne	.LBB1_26
	testb	%bl, %bl
	jne	.LBB1_33
.LBB1_6:
	movq	%rbp, 136(%rsp)
	movq	%r12, 144(%rsp)
	movq	%r15, 152(%rsp)
	movq	%r14, 160(%rsp)
	movq	480(%rsp), %r12
	movq	488(%rsp), %rax
	movq	%rax, 128(%rsp)
	movq	512(%rsp), %rax
	movq	%rax, 120(%rsp)
	movq	528(%rsp), %rax
	movq	%rax, 112(%rsp)
	movq	544(%rsp), %rax
	movq	%rax, 104(%rsp)
	movq	216(%rsp), %rdi
	movabsq	$PyNumber_Long, %r14
	callq	*%r14
	movabsq	$PyLong_AsLongLong, %r15
	movabsq	$Py_DecRef, %rbp
	testq	%rax, %rax
	movq	%r12, 48(%rsp)
	je	.LBB1_27
	movq	%rax, %rbx
	movq	%rax, %rdi
	callq	*%r15
	movq	%rax, 40(%rsp)
	movq	%rbx, %rdi
	callq	*%rbp
	movabsq	$PyErr_Occurred, %r12
	callq	*%r12
	testq	%rax, %rax
	jne	.LBB1_32
.LBB1_8:
	movq	208(%rsp), %rdi
	callq	*%r14
	testq	%rax, %rax
	je	.LBB1_28
	movq	%rax, %rbx
	movq	%rax, %rdi
	callq	*%r15
	movq	%rax, 32(%rsp)
	movq	%rbx, %rdi
	callq	*%rbp
	callq	*%r12
	testq	%rax, %rax
	jne	.LBB1_32
.LBB1_10:
	movq	200(%rsp), %rdi
	callq	*%r14
	testq	%rax, %rax
	je	.LBB1_29
	movq	%rax, %rbx
	movq	%rax, %rdi
	callq	*%r15
	movq	%rax, %r14
	movq	%rbx, %rdi
	callq	*%rbp
	callq	*%r12
	testq	%rax, %rax
	jne	.LBB1_32
.LBB1_12:
	movq	192(%rsp), %rdi
	vxorps	%xmm0, %xmm0, %xmm0
	vmovups	%ymm0, 240(%rsp)
	vmovups	%ymm0, 264(%rsp)
	leaq	240(%rsp), %rsi
	movabsq	$NRT_adapt_ndarray_from_python, %rax
	vzeroupper
	callq	*%rax
	testl	%eax, %eax
	jne	.LBB1_30
	cmpq	$4, 264(%rsp)
	jne	.LBB1_30
	movq	%r14, 96(%rsp)
	movq	%r13, 24(%rsp)
	movq	240(%rsp), %rbx
	movq	248(%rsp), %r12
	movq	256(%rsp), %r15
	movq	272(%rsp), %r13
	movq	280(%rsp), %r14
	movq	288(%rsp), %rbp
	movq	184(%rsp), %rdi
	vxorps	%xmm0, %xmm0, %xmm0
	vmovups	%ymm0, 304(%rsp)
	vmovups	%ymm0, 336(%rsp)
	movq	$0, 368(%rsp)
	leaq	304(%rsp), %rsi
	movabsq	$NRT_adapt_ndarray_from_python, %rax
	vzeroupper
	callq	*%rax
	testl	%eax, %eax
	jne	.LBB1_31
	cmpq	$4, 328(%rsp)
	jne	.LBB1_31
	movq	%r13, 72(%rsp)
	movq	304(%rsp), %r13
	movq	%r13, 80(%rsp)
	vmovups	312(%rsp), %xmm0
	vmovaps	%xmm0, 560(%rsp)
	vmovups	336(%rsp), %ymm0
	vmovups	%ymm0, 576(%rsp)
	movq	%r12, 64(%rsp)
	movq	368(%rsp), %r12
	movabsq	$PyEval_SaveThread, %rax
	vzeroupper
	callq	*%rax
	movq	%rax, 88(%rsp)
	movq	$0, 16(%rsp)
	subq	$288, %rsp
	.cfi_adjust_cfa_offset 288
	movq	%r12, 272(%rsp)
	vmovups	864(%rsp), %ymm0
	vmovups	%ymm0, 240(%rsp)
	vmovaps	848(%rsp), %xmm0
	vmovups	%xmm0, 216(%rsp)
	movq	%rbp, 200(%rsp)
	movq	%r14, 192(%rsp)
	movq	360(%rsp), %rax
	movq	%rax, 184(%rsp)
	movq	%r15, 168(%rsp)
	movq	352(%rsp), %rax
	movq	%rax, 160(%rsp)
	movq	384(%rsp), %rax
	movq	%rax, 144(%rsp)
	movq	320(%rsp), %rax
	movq	%rax, 136(%rsp)
	movq	328(%rsp), %rax
	movq	%rax, 128(%rsp)
	movq	392(%rsp), %rax
	movq	%rax, 120(%rsp)
	movq	400(%rsp), %rax
	movq	%rax, 104(%rsp)
	movq	408(%rsp), %rax
	movq	%rax, 88(%rsp)
	movq	416(%rsp), %rax
	movq	%rax, 64(%rsp)
	movq	456(%rsp), %rax
	movq	%rax, 48(%rsp)
	movq	464(%rsp), %rax
	movq	%rax, 40(%rsp)
	movq	296(%rsp), %rax
	movq	%rax, 24(%rsp)
	movq	%r13, 208(%rsp)
	movq	%rbx, 152(%rsp)
	movq	336(%rsp), %r15
	movq	%r15, 56(%rsp)
	movq	424(%rsp), %rax
	movq	%rax, 16(%rsp)
	movq	432(%rsp), %rax
	movq	%rax, 8(%rsp)
	movq	440(%rsp), %rax
	movq	%rax, (%rsp)
	movq	$4, 232(%rsp)
	movq	$4, 176(%rsp)
	movq	$4, 80(%rsp)
	movabsq	$_ZN8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE, %rax
	leaq	304(%rsp), %rdi
	leaq	344(%rsp), %rsi
	movl	$4, %r9d
	movq	312(%rsp), %rbp
	movq	%rbp, %rdx
	movq	448(%rsp), %rcx
	vzeroupper
	callq	*%rax
	addq	$288, %rsp
	.cfi_adjust_cfa_offset -288
	movl	%eax, %r12d
	movq	56(%rsp), %rax
	movq	%rax, 8(%rsp)
	movq	16(%rsp), %r13
	movabsq	$PyEval_RestoreThread, %rax
	movq	88(%rsp), %rdi
	callq	*%rax
	movabsq	$NRT_decref, %r14
	movq	%rbp, %rdi
	callq	*%r14
	movq	%r15, %rdi
	callq	*%r14
	movq	%rbx, %rdi
	callq	*%r14
	movq	80(%rsp), %rdi
	callq	*%r14
	testl	%r12d, %r12d
	jne	.LBB1_19
	movabsq	$PyLong_FromLongLong, %rax
	movq	%r13, %rdi
	callq	*%rax
.LBB1_18:
	addq	$616, %rsp
	.cfi_def_cfa_offset 56
	popq	%rbx
	.cfi_def_cfa_offset 48
	popq	%r12
	.cfi_def_cfa_offset 40
	popq	%r13
	.cfi_def_cfa_offset 32
	popq	%r14
	.cfi_def_cfa_offset 24
	popq	%r15
	.cfi_def_cfa_offset 16
	popq	%rbp
	.cfi_def_cfa_offset 8
	vzeroupper
	retq
.LBB1_19:
	.cfi_def_cfa_offset 672
	movq	8(%rsp), %r14
	jle	.LBB1_36
	movabsq	$PyErr_Clear, %rax
	callq	*%rax
	movl	8(%r14), %esi
	movq	(%r14), %rdi
	cmpl	$0, 32(%r14)
	jle	.LBB1_39
	movslq	%esi, %rsi
	movabsq	$PyBytes_FromStringAndSize, %rax
	callq	*%rax
	movq	%rax, %rbx
	movq	16(%r14), %rdi
	callq	*24(%r14)
	testq	%rax, %rax
	je	.LBB1_43
	movabsq	$numba_runtime_build_excinfo_struct, %rcx
	movq	%rbx, %rdi
	movq	%rax, %rsi
	callq	*%rcx
	movq	%rax, %rbx
	movabsq	$NRT_Free, %rax
	movq	%r14, %rdi
	callq	*%rax
	jmp	.LBB1_40
.LBB1_23:
	movabsq	$PyExc_RuntimeError, %rdi
	movabsq	$".const.missing Environment: _ZN08NumbaEnv8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE", %rsi
.LBB1_24:
	movabsq	$PyErr_SetString, %rax
	vzeroupper
	callq	*%rax
	jmp	.LBB1_35
.LBB1_25:
	movabsq	$PyExc_TypeError, %rdi
	movabsq	$".const.can't unbox array from PyObject into native value.  The object maybe of a different type", %rsi
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
	testb	%bl, %bl
	je	.LBB1_4
	jmp	.LBB1_35
.LBB1_26:
	movabsq	$PyExc_TypeError, %rdi
	movabsq	$".const.can't unbox array from PyObject into native value.  The object maybe of a different type", %rsi
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
	testb	%bl, %bl
	je	.LBB1_6
	jmp	.LBB1_33
.LBB1_27:
	movq	$0, 40(%rsp)
	movabsq	$PyErr_Occurred, %r12
	callq	*%r12
	testq	%rax, %rax
	je	.LBB1_8
	jmp	.LBB1_32
.LBB1_28:
	movq	$0, 32(%rsp)
	callq	*%r12
	testq	%rax, %rax
	je	.LBB1_10
	jmp	.LBB1_32
.LBB1_29:
	xorl	%r14d, %r14d
	callq	*%r12
	testq	%rax, %rax
	je	.LBB1_12
	jmp	.LBB1_32
.LBB1_30:
	movabsq	$PyExc_TypeError, %rdi
	movabsq	$".const.can't unbox array from PyObject into native value.  The object maybe of a different type", %rsi
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
	jmp	.LBB1_32
.LBB1_31:
	movabsq	$PyExc_TypeError, %rdi
	movabsq	$".const.can't unbox array from PyObject into native value.  The object maybe of a different type", %rsi
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
	movabsq	$NRT_decref, %rax
	movq	%rbx, %rdi
	callq	*%rax
	movq	24(%rsp), %r13
.LBB1_32:
	movabsq	$NRT_decref, %rax
	movq	48(%rsp), %rdi
	callq	*%rax
.LBB1_33:
	movabsq	$NRT_decref, %rax
	movq	%r13, %rdi
.LBB1_34:
	callq	*%rax
.LBB1_35:
	xorl	%eax, %eax
	jmp	.LBB1_18
.LBB1_36:
	cmpl	$-3, %r12d
	je	.LBB1_42
	cmpl	$-1, %r12d
	je	.LBB1_35
	movabsq	$PyExc_SystemError, %rdi
	movabsq	$".const.unknown error when calling native function", %rsi
	jmp	.LBB1_24
.LBB1_39:
	movq	16(%r14), %rdx
	movabsq	$numba_unpickle, %rax
	callq	*%rax
	movq	%rax, %rbx
.LBB1_40:
	testq	%rbx, %rbx
	je	.LBB1_35
	movabsq	$numba_do_raise, %rax
	movq	%rbx, %rdi
	jmp	.LBB1_34
.LBB1_42:
	movabsq	$PyExc_StopIteration, %rdi
	movabsq	$PyErr_SetNone, %rax
	jmp	.LBB1_34
.LBB1_43:
	movabsq	$PyExc_RuntimeError, %rdi
	movabsq	$".const.Error creating Python tuple from runtime exception arguments", %rsi
	jmp	.LBB1_24
.Lfunc_end1:
	.size	_ZN7cpython8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE, .Lfunc_end1-_ZN7cpython8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE
	.cfi_endproc

	.globl	cfunc._ZN8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE
	.p2align	4
	.type	cfunc._ZN8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE,@function
cfunc._ZN8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE:
	.cfi_startproc
	pushq	%rbp
	.cfi_def_cfa_offset 16
	pushq	%r15
	.cfi_def_cfa_offset 24
	pushq	%r14
	.cfi_def_cfa_offset 32
	pushq	%rbx
	.cfi_def_cfa_offset 40
	subq	$312, %rsp
	.cfi_def_cfa_offset 352
	.cfi_offset %rbx, -40
	.cfi_offset %r14, -32
	.cfi_offset %r15, -24
	.cfi_offset %rbp, -16
	vmovaps	352(%rsp), %xmm0
	vmovups	376(%rsp), %ymm1
	movq	%rcx, %rax
	movq	%rsi, %rcx
	movq	%rdi, %rdx
	vmovaps	416(%rsp), %xmm2
	movq	440(%rsp), %rsi
	vmovaps	464(%rsp), %xmm3
	vmovups	480(%rsp), %ymm4
	vmovups	512(%rsp), %ymm5
	vmovups	544(%rsp), %ymm6
	movq	456(%rsp), %rdi
	vmovups	576(%rsp), %ymm7
	movq	608(%rsp), %r10
	movq	$0, 304(%rsp)
	movq	$0, 296(%rsp)
	movq	%r10, 272(%rsp)
	vmovups	%ymm7, 240(%rsp)
	vmovups	%ymm6, 208(%rsp)
	vmovups	%ymm5, 176(%rsp)
	vmovups	%ymm4, 144(%rsp)
	vmovups	%xmm3, 128(%rsp)
	movq	%rdi, 120(%rsp)
	movq	%rsi, 104(%rsp)
	vmovups	%xmm2, 80(%rsp)
	vmovups	%ymm1, 40(%rsp)
	vmovups	%xmm0, 16(%rsp)
	movq	%r9, 8(%rsp)
	movq	%r8, (%rsp)
	movabsq	$_ZN8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE, %r8
	leaq	304(%rsp), %rdi
	leaq	296(%rsp), %rsi
	movq	%rax, %r9
	vzeroupper
	callq	*%r8
	movl	%eax, %ecx
	movq	296(%rsp), %rbx
	movq	304(%rsp), %rax
	movl	$0, 292(%rsp)
	testl	%ecx, %ecx
	jne	.LBB2_1
.LBB2_8:
	addq	$312, %rsp
	.cfi_def_cfa_offset 40
	popq	%rbx
	.cfi_def_cfa_offset 32
	popq	%r14
	.cfi_def_cfa_offset 24
	popq	%r15
	.cfi_def_cfa_offset 16
	popq	%rbp
	.cfi_def_cfa_offset 8
	retq
.LBB2_1:
	.cfi_def_cfa_offset 352
	movq	%rax, %r15
	movabsq	$numba_gil_ensure, %rax
	leaq	292(%rsp), %rdi
	movl	%ecx, %ebp
	callq	*%rax
	testl	%ebp, %ebp
	jle	.LBB2_9
	movabsq	$PyErr_Clear, %rax
	callq	*%rax
	movl	8(%rbx), %esi
	movq	(%rbx), %rdi
	cmpl	$0, 32(%rbx)
	jle	.LBB2_12
	movslq	%esi, %rsi
	movabsq	$PyBytes_FromStringAndSize, %rax
	callq	*%rax
	movq	%rax, %r14
	movq	16(%rbx), %rdi
	callq	*24(%rbx)
	testq	%rax, %rax
	je	.LBB2_4
	movabsq	$numba_runtime_build_excinfo_struct, %rcx
	movq	%r14, %rdi
	movq	%rax, %rsi
	callq	*%rcx
	movq	%rax, %r14
	movabsq	$NRT_Free, %rax
	movq	%rbx, %rdi
	callq	*%rax
	jmp	.LBB2_13
.LBB2_9:
	movl	%ebp, %eax
	cmpl	$-3, %ebp
	je	.LBB2_5
	cmpl	$-1, %eax
	je	.LBB2_7
	movabsq	$PyExc_SystemError, %rdi
	movabsq	$".const.unknown error when calling native function.2", %rsi
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
	jmp	.LBB2_7
.LBB2_12:
	movq	16(%rbx), %rdx
	movabsq	$numba_unpickle, %rax
	callq	*%rax
	movq	%rax, %r14
.LBB2_13:
	testq	%r14, %r14
	je	.LBB2_7
	movabsq	$numba_do_raise, %rax
	movq	%r14, %rdi
.LBB2_6:
	callq	*%rax
.LBB2_7:
	movabsq	$".const.<numba.core.cpu.CPUContext>", %rdi
	movabsq	$PyUnicode_FromString, %rax
	callq	*%rax
	movq	%rax, %rbx
	movabsq	$PyErr_WriteUnraisable, %rax
	movq	%rbx, %rdi
	callq	*%rax
	movabsq	$Py_DecRef, %rax
	movq	%rbx, %rdi
	callq	*%rax
	movabsq	$numba_gil_release, %rax
	leaq	292(%rsp), %rdi
	callq	*%rax
	movq	%r15, %rax
	jmp	.LBB2_8
.LBB2_5:
	movabsq	$PyExc_StopIteration, %rdi
	movabsq	$PyErr_SetNone, %rax
	jmp	.LBB2_6
.LBB2_4:
	movabsq	$PyExc_RuntimeError, %rdi
	movabsq	$".const.Error creating Python tuple from runtime exception arguments.1", %rsi
	movabsq	$PyErr_SetString, %rax
	callq	*%rax
	xorl	%eax, %eax
	jmp	.LBB2_8
.Lfunc_end2:
	.size	cfunc._ZN8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE, .Lfunc_end2-cfunc._ZN8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE
	.cfi_endproc

	.section	.rodata,"a",@progbits
	.p2align	6, 0x0
.LCPI3_0:
	.quad	0
	.quad	1
	.quad	2
	.quad	3
	.quad	4
	.quad	5
	.quad	6
	.quad	7
	.section	.rodata.cst4,"aM",@progbits,4
	.p2align	2, 0x0
.LCPI3_1:
	.long	0x3f800000
.LCPI3_2:
	.long	0x3f000000
	.section	.rodata.cst8,"aM",@progbits,8
	.p2align	3, 0x0
.LCPI3_3:
	.quad	8
	.section	.ltext,"axl",@progbits
	.weak	_ZN5xbind7kernels11cpu_augment10_trace_rowB2v2B106c8tJTIeFIjxB2IKSgI4CrvSCKg1MMbCQQPKkLTj8gEEF9aYtuj_2br1ZPz80qKEpNL1HUU1IuASas4PxnEzCuuUq_2fVBEZAEcQiTQA_3dExx5ArrayIfLi2E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE
	.p2align	4
	.type	_ZN5xbind7kernels11cpu_augment10_trace_rowB2v2B106c8tJTIeFIjxB2IKSgI4CrvSCKg1MMbCQQPKkLTj8gEEF9aYtuj_2br1ZPz80qKEpNL1HUU1IuASas4PxnEzCuuUq_2fVBEZAEcQiTQA_3dExx5ArrayIfLi2E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE,@function
_ZN5xbind7kernels11cpu_augment10_trace_rowB2v2B106c8tJTIeFIjxB2IKSgI4CrvSCKg1MMbCQQPKkLTj8gEEF9aYtuj_2br1ZPz80qKEpNL1HUU1IuASas4PxnEzCuuUq_2fVBEZAEcQiTQA_3dExx5ArrayIfLi2E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE:
	.cfi_startproc
	pushq	%rbp
	.cfi_def_cfa_offset 16
	pushq	%r15
	.cfi_def_cfa_offset 24
	pushq	%r14
	.cfi_def_cfa_offset 32
	pushq	%r13
	.cfi_def_cfa_offset 40
	pushq	%r12
	.cfi_def_cfa_offset 48
	pushq	%rbx
	.cfi_def_cfa_offset 56
	subq	$24, %rsp
	.cfi_def_cfa_offset 80
	.cfi_offset %rbx, -56
	.cfi_offset %r12, -48
	.cfi_offset %r13, -40
	.cfi_offset %r14, -32
	.cfi_offset %r15, -24
	.cfi_offset %rbp, -16
	movq	240(%rsp), %rax
	movq	200(%rsp), %r15
	movq	192(%rsp), %r12
	cmpq	$3, %r15
	movl	$2, %r9d
	movl	$2, %r10d
	cmovgeq	%r15, %r10
	cmpq	$3, %r12
	cmovgeq	%r12, %r9
	movl	%r15d, %esi
	imull	%r12d, %esi
	testq	%rcx, %rcx
	jle	.LBB3_1
	movq	%rdi, -40(%rsp)
	movq	312(%rsp), %r8
	movq	296(%rsp), %r11
	vcvtsi2ss	%rdx, %xmm15, %xmm3
	movq	112(%rsp), %rbp
	movq	96(%rsp), %rdx
	vmovss	4(%rdx), %xmm0
	vfmadd213ss	8(%rdx), %xmm3, %xmm0
	movq	168(%rsp), %r14
	leaq	(%rdx,%rbp,4), %rbx
	vmovss	4(%rdx,%rbp,4), %xmm1
	vfmadd213ss	8(%rdx,%rbp,4), %xmm3, %xmm1
	vmovss	4(%rdx,%rbp,8), %xmm2
	vfmadd213ss	8(%rdx,%rbp,8), %xmm3, %xmm2
	vmovss	(%r14), %xmm17
	vmovss	4(%r14), %xmm18
	vmovss	8(%r14), %xmm19
	vmovss	12(%r14), %xmm20
	leaq	(%rdx,%rbp,8), %r14
	decq	%r15
	vcvtsi2ss	%r15, %xmm15, %xmm21
	decq	%r12
	vcvtsi2ss	%r12, %xmm15, %xmm8
	addl	$-2, %r10d
	addl	$-2, %r9d
	leaq	(%r11,%r8,4), %r15
	leaq	(%r11,%r8,8), %r12
	leaq	(%r8,%r8,2), %rdi
	leaq	(%r11,%rdi,4), %r13
	cmpq	$24, %rcx
	jae	.LBB3_22
	xorl	%ebp, %ebp
	jmp	.LBB3_51
.LBB3_1:
	xorl	%edx, %edx
	jmp	.LBB3_12
.LBB3_22:
	leaq	4(%rdx,%rbp,8), %rdi
	movq	%rdi, -64(%rsp)
	leaq	(%r11,%rcx,4), %rdi
	addq	%rcx, %r8
	leaq	(%r11,%r8,4), %r8
	leaq	4(%rdx,%rbp,4), %rbp
	movq	%rbp, (%rsp)
	cmpq	%r8, %r11
	setb	-120(%rsp)
	cmpq	%rdi, %r15
	setb	-122(%rsp)
	leaq	(%r12,%rcx,4), %rbp
	cmpq	%rbp, %r11
	setb	-121(%rsp)
	cmpq	%rdi, %r12
	setb	-123(%rsp)
	leaq	(%r13,%rcx,4), %rbp
	cmpq	%rbp, %r11
	setb	-116(%rsp)
	cmpq	%rdi, %r13
	setb	-117(%rsp)
	leaq	(%rax,%rcx,4), %rbp
	cmpq	%rbp, %r11
	setb	-118(%rsp)
	cmpq	%rdi, %rax
	setb	-119(%rsp)
	cmpq	-64(%rsp), %r11
	setb	-114(%rsp)
	cmpq	%rdi, %r14
	setb	-115(%rsp)
	leaq	4(%rdx), %rbp
	movq	%rbp, -80(%rsp)
	cmpq	%rbp, %r11
	setb	-112(%rsp)
	cmpq	%rdi, %rdx
	setb	-113(%rsp)
	movq	(%rsp), %rbp
	cmpq	%rbp, %r11
	setb	-110(%rsp)
	cmpq	%rdi, %rbx
	setb	-111(%rsp)
	leaq	(%r12,%rcx,4), %r11
	cmpq	%r11, %r15
	setb	-108(%rsp)
	cmpq	%r8, %r12
	setb	-109(%rsp)
	leaq	(%r13,%rcx,4), %r11
	cmpq	%r11, %r15
	setb	-106(%rsp)
	cmpq	%r8, %r13
	setb	-107(%rsp)
	leaq	(%rax,%rcx,4), %r11
	cmpq	%r11, %r15
	setb	-104(%rsp)
	cmpq	%r8, %rax
	setb	-105(%rsp)
	cmpq	-64(%rsp), %r15
	setb	-102(%rsp)
	cmpq	%r8, %r14
	setb	-103(%rsp)
	cmpq	-80(%rsp), %r15
	setb	-100(%rsp)
	cmpq	%r8, %rdx
	setb	-101(%rsp)
	cmpq	%rbp, %r15
	setb	-98(%rsp)
	cmpq	%r8, %rbx
	setb	-99(%rsp)
	leaq	(%r13,%rcx,4), %rdi
	cmpq	%rdi, %r12
	setb	-96(%rsp)
	leaq	(%r12,%rcx,4), %r8
	cmpq	%r8, %r13
	setb	-97(%rsp)
	cmpq	%r11, %r12
	setb	-94(%rsp)
	cmpq	%r8, %rax
	setb	-95(%rsp)
	movq	-64(%rsp), %r11
	cmpq	%r11, %r12
	setb	-92(%rsp)
	cmpq	%r8, %r14
	setb	-93(%rsp)
	movq	-80(%rsp), %rdi
	cmpq	%rdi, %r12
	setb	-90(%rsp)
	cmpq	%r8, %rdx
	setb	-91(%rsp)
	cmpq	%rbp, %r12
	setb	-88(%rsp)
	cmpq	%r8, %rbx
	setb	-89(%rsp)
	leaq	(%rax,%rcx,4), %r8
	cmpq	%r8, %r13
	setb	-86(%rsp)
	leaq	(%r13,%rcx,4), %r8
	cmpq	%r8, %rax
	setb	-87(%rsp)
	cmpq	%r11, %r13
	setb	-16(%rsp)
	cmpq	%r8, %r14
	setb	-85(%rsp)
	cmpq	%rdi, %r13
	setb	-83(%rsp)
	cmpq	%r8, %rdx
	setb	-84(%rsp)
	cmpq	%rbp, %r13
	setb	-81(%rsp)
	cmpq	%r8, %rbx
	setb	-82(%rsp)
	cmpq	%r11, %rax
	setb	-32(%rsp)
	leaq	(%rax,%rcx,4), %rdi
	cmpq	%rdi, %r14
	setb	%r11b
	cmpq	-80(%rsp), %rax
	setb	-64(%rsp)
	cmpq	%rdi, %rdx
	setb	-80(%rsp)
	cmpq	%rbp, %rax
	setb	%r8b
	cmpq	%rdi, %rbx
	setb	%dil
	xorl	%ebp, %ebp
	testb	%dil, %r8b
	jne	.LBB3_23
	movl	%r11d, %edi
	movzbl	-16(%rsp), %r8d
	movzbl	-80(%rsp), %r11d
	andb	%r11b, -64(%rsp)
	movq	296(%rsp), %r11
	jne	.LBB3_51
	andb	%dil, -32(%rsp)
	jne	.LBB3_51
	movzbl	-82(%rsp), %edi
	andb	%dil, -81(%rsp)
	jne	.LBB3_51
	movzbl	-84(%rsp), %edi
	andb	%dil, -83(%rsp)
	jne	.LBB3_51
	andb	-85(%rsp), %r8b
	jne	.LBB3_51
	movzbl	-87(%rsp), %r8d
	andb	%r8b, -86(%rsp)
	jne	.LBB3_51
	movzbl	-89(%rsp), %r8d
	andb	%r8b, -88(%rsp)
	jne	.LBB3_51
	movzbl	-91(%rsp), %r8d
	andb	%r8b, -90(%rsp)
	jne	.LBB3_51
	movzbl	-93(%rsp), %r8d
	andb	%r8b, -92(%rsp)
	jne	.LBB3_51
	movzbl	-95(%rsp), %r8d
	andb	%r8b, -94(%rsp)
	jne	.LBB3_51
	movzbl	-97(%rsp), %r8d
	andb	%r8b, -96(%rsp)
	jne	.LBB3_51
	movzbl	-99(%rsp), %r8d
	andb	%r8b, -98(%rsp)
	jne	.LBB3_51
	movzbl	-101(%rsp), %r8d
	andb	%r8b, -100(%rsp)
	jne	.LBB3_51
	movzbl	-103(%rsp), %r8d
	andb	%r8b, -102(%rsp)
	jne	.LBB3_51
	movzbl	-105(%rsp), %r8d
	andb	%r8b, -104(%rsp)
	jne	.LBB3_51
	movzbl	-107(%rsp), %r8d
	andb	%r8b, -106(%rsp)
	jne	.LBB3_51
	movzbl	-109(%rsp), %r8d
	andb	%r8b, -108(%rsp)
	jne	.LBB3_51
	movzbl	-111(%rsp), %r8d
	andb	%r8b, -110(%rsp)
	jne	.LBB3_51
	movzbl	-113(%rsp), %r8d
	andb	%r8b, -112(%rsp)
	jne	.LBB3_51
	movzbl	-115(%rsp), %r8d
	andb	%r8b, -114(%rsp)
	jne	.LBB3_51
	movzbl	-119(%rsp), %r8d
	andb	%r8b, -118(%rsp)
	jne	.LBB3_51
	movzbl	-117(%rsp), %r8d
	andb	-116(%rsp), %r8b
	jne	.LBB3_51
	movzbl	-122(%rsp), %r8d
	andb	-120(%rsp), %r8b
	jne	.LBB3_51
	movzbl	-123(%rsp), %r8d
	andb	-121(%rsp), %r8b
	jne	.LBB3_51
	movabsq	$9223372036854775800, %rbp
	vbroadcastss	(%rbx), %ymm9
	andq	%rcx, %rbp
	vbroadcastss	(%rdx), %ymm10
	vbroadcastss	(%r14), %ymm11
	movq	200(%rsp), %rdx
	vpbroadcastd	%edx, %ymm12
	vbroadcastss	%xmm2, %ymm13
	vbroadcastss	%xmm0, %ymm14
	vbroadcastss	%xmm1, %ymm15
	vmovaps	%xmm17, -64(%rsp)
	vbroadcastss	%xmm17, %ymm16
	vmovaps	%xmm19, (%rsp)
	vbroadcastss	%xmm19, %ymm17
	vmovaps	%xmm18, -80(%rsp)
	vbroadcastss	%xmm18, %ymm18
	vmovaps	%xmm20, -16(%rsp)
	vbroadcastss	%xmm20, %ymm19
	vmovaps	%xmm21, -32(%rsp)
	vbroadcastss	%xmm21, %ymm20
	vbroadcastss	%xmm8, %ymm21
	vpbroadcastd	%r10d, %ymm22
	vpbroadcastd	%r9d, %ymm23
	movabsq	$.LCPI3_0, %rdi
	vmovdqa64	(%rdi), %zmm24
	vpbroadcastd	%esi, %ymm25
	xorl	%edi, %edi
	movabsq	$.LCPI3_1, %rdx
	vbroadcastss	(%rdx), %ymm26
	movabsq	$.LCPI3_2, %rdx
	vbroadcastss	(%rdx), %ymm27
	vxorps	%xmm28, %xmm28, %xmm28
	movabsq	$.LCPI3_3, %r8
	vpbroadcastq	(%r8), %zmm29
	.p2align	4
.LBB3_49:
	vcvtqq2ps	%zmm24, %ymm3
	vmovaps	%ymm3, %ymm31
	vfmadd213ps	%ymm13, %ymm11, %ymm31
	vdivps	%ymm31, %ymm26, %ymm31
	vmovaps	%ymm3, %ymm30
	vfmadd213ps	%ymm14, %ymm10, %ymm30
	vmulps	%ymm30, %ymm31, %ymm30
	vfmadd213ps	%ymm15, %ymm9, %ymm3
	vmulps	%ymm3, %ymm31, %ymm3
	vsubps	%ymm16, %ymm30, %ymm31
	vsubps	%ymm30, %ymm17, %ymm4
	vminps	%ymm31, %ymm4, %ymm4
	vaddps	%ymm27, %ymm4, %ymm4
	vcmpltps	%ymm4, %ymm28, %k1
	vcmpltps	%ymm26, %ymm4, %k2 {%k1}
	vblendmps	%ymm4, %ymm26, %ymm4 {%k2}
	vsubps	%ymm18, %ymm3, %ymm31
	vsubps	%ymm3, %ymm19, %ymm5
	vminps	%ymm31, %ymm5, %ymm5
	vaddps	%ymm27, %ymm5, %ymm5
	vmovaps	%ymm4, %ymm4 {%k1} {z}
	vcmpltps	%ymm5, %ymm28, %k1
	vcmpnltps	%ymm26, %ymm5, %k2 {%k1}
	vcmpltps	%ymm26, %ymm5, %k1 {%k1}
	vmovaps	%ymm5, %ymm5 {%k1} {z}
	vmaxps	%ymm28, %ymm30, %ymm30
	vmulps	%ymm5, %ymm4, %ymm5
	vminps	%ymm20, %ymm30, %ymm30
	vmaxps	%ymm28, %ymm3, %ymm3
	vminps	%ymm21, %ymm3, %ymm3
	vcvttps2dq	%ymm30, %ymm31
	vpminsd	%ymm31, %ymm22, %ymm31
	vmovaps	%ymm4, %ymm5 {%k2}
	vcvttps2dq	%ymm3, %ymm4
	vpminsd	%ymm4, %ymm23, %ymm4
	vcvtdq2ps	%ymm31, %ymm6
	vsubps	%ymm6, %ymm30, %ymm6
	vcvtdq2ps	%ymm4, %ymm30
	vsubps	%ymm30, %ymm3, %ymm3
	vmulps	%ymm6, %ymm5, %ymm6
	vsubps	%ymm6, %ymm5, %ymm30
	vmulps	%ymm3, %ymm30, %ymm7
	vmulps	%ymm3, %ymm6, %ymm3
	vsubps	%ymm3, %ymm6, %ymm6
	vsubps	%ymm7, %ymm30, %ymm30
	vmovups	%ymm30, (%r11,%rdi,4)
	vmovups	%ymm6, (%r15,%rdi,4)
	vmovups	%ymm7, (%r12,%rdi,4)
	vpmulld	%ymm12, %ymm4, %ymm4
	vcmpltps	%ymm5, %ymm28, %k1
	vmovdqa64	%ymm25, %ymm5
	vmovups	%ymm3, (%r13,%rdi,4)
	vpaddd	%ymm31, %ymm4, %ymm5 {%k1}
	vmovdqu	%ymm5, (%rax,%rdi,4)
	addq	$8, %rdi
	vpaddq	%zmm29, %zmm24, %zmm24
	cmpq	%rdi, %rbp
	jne	.LBB3_49
	cmpq	%rbp, %rcx
	movq	96(%rsp), %rdx
	vmovaps	-64(%rsp), %xmm17
	vmovaps	-80(%rsp), %xmm18
	vmovaps	(%rsp), %xmm19
	vmovaps	-16(%rsp), %xmm20
	vmovaps	-32(%rsp), %xmm21
	jne	.LBB3_51
.LBB3_6:
	cmpl	%esi, (%rax)
	jne	.LBB3_7
	leaq	-1(%rcx), %r9
	xorl	%r8d, %r8d
	movq	-40(%rsp), %rdi
	.p2align	4
.LBB3_9:
	cmpq	%r8, %r9
	je	.LBB3_10
	leaq	1(%r8), %rdx
	cmpl	%esi, 4(%rax,%r8,4)
	movq	%rdx, %r8
	je	.LBB3_9
	jmp	.LBB3_12
.LBB3_7:
	xorl	%edx, %edx
	movq	-40(%rsp), %rdi
.LBB3_12:
	cmpq	%rcx, %rdx
	jge	.LBB3_19
	movq	248(%rsp), %r10
	xorl	%r8d, %r8d
	testq	%rcx, %rcx
	cmovleq	%r10, %r8
	leaq	(%rax,%rcx,4), %r9
	cmpl	%esi, -4(%r9,%r8,4)
	jne	.LBB3_19
	shlq	$2, %r10
	addq	$-8, %rax
	.p2align	4
.LBB3_15:
	leaq	-1(%rcx), %r8
	cmpq	%r8, %rdx
	jge	.LBB3_16
	cmpq	$2, %rcx
	movl	$0, %r9d
	cmovlq	%r10, %r9
	addq	%rax, %r9
	cmpl	%esi, (%r9,%rcx,4)
	movq	%r8, %rcx
	je	.LBB3_15
	movq	%r8, %rcx
	jmp	.LBB3_19
.LBB3_10:
	movq	%rcx, %rdx
	jmp	.LBB3_19
.LBB3_16:
	movq	%rdx, %rcx
.LBB3_19:
	movq	%rdx, (%rdi)
	movq	%rcx, 8(%rdi)
	xorl	%eax, %eax
	addq	$24, %rsp
	.cfi_def_cfa_offset 56
	popq	%rbx
	.cfi_def_cfa_offset 48
	popq	%r12
	.cfi_def_cfa_offset 40
	popq	%r13
	.cfi_def_cfa_offset 32
	popq	%r14
	.cfi_def_cfa_offset 24
	popq	%r15
	.cfi_def_cfa_offset 16
	popq	%rbp
	.cfi_def_cfa_offset 8
	vzeroupper
	retq
.LBB3_23:
	.cfi_def_cfa_offset 80
	movq	296(%rsp), %r11
.LBB3_51:
	movabsq	$.LCPI3_1, %rdi
	vmovss	(%rdi), %xmm9
	movabsq	$.LCPI3_2, %rdi
	vmovss	(%rdi), %xmm10
	vxorps	%xmm11, %xmm11, %xmm11
	jmp	.LBB3_52
	.p2align	4
.LBB3_54:
	vmulss	%xmm13, %xmm15, %xmm3
	vmaxss	%xmm11, %xmm12, %xmm4
	vminss	%xmm21, %xmm4, %xmm4
	vmaxss	%xmm11, %xmm14, %xmm5
	vminss	%xmm8, %xmm5, %xmm5
	vcvttss2si	%xmm4, %edi
	cmpl	%edi, %r10d
	cmovll	%r10d, %edi
	vcvttss2si	%xmm5, %r8d
	cmpl	%r8d, %r9d
	cmovll	%r9d, %r8d
	vpxord	%xmm22, %xmm22, %xmm22
	vcvtsi2ss	%edi, %xmm22, %xmm6
	vpxord	%xmm22, %xmm22, %xmm22
	vcvtsi2ss	%r8d, %xmm22, %xmm7
	vsubss	%xmm6, %xmm4, %xmm4
	vsubss	%xmm7, %xmm5, %xmm5
	vmulss	%xmm4, %xmm3, %xmm4
	vsubss	%xmm4, %xmm3, %xmm6
	vmulss	%xmm5, %xmm6, %xmm7
	vsubss	%xmm7, %xmm6, %xmm6
	vmulss	%xmm5, %xmm4, %xmm5
	vsubss	%xmm5, %xmm4, %xmm4
	vmovss	%xmm6, (%r11,%rbp,4)
	vmovss	%xmm4, (%r15,%rbp,4)
	vmovss	%xmm7, (%r12,%rbp,4)
	vmovss	%xmm5, (%r13,%rbp,4)
	movq	200(%rsp), %rdx
	imull	%edx, %r8d
	addl	%edi, %r8d
	vucomiss	%xmm11, %xmm3
	cmovbel	%esi, %r8d
	movl	%r8d, (%rax,%rbp,4)
	incq	%rbp
	cmpq	%rbp, %rcx
	movq	96(%rsp), %rdx
	je	.LBB3_6
.LBB3_52:
	vpxord	%xmm22, %xmm22, %xmm22
	vcvtsi2ss	%rbp, %xmm22, %xmm14
	vmovss	(%r14), %xmm3
	vfmadd132ss	%xmm14, %xmm2, %xmm3
	vdivss	%xmm3, %xmm9, %xmm15
	vmovss	(%rdx), %xmm3
	vfmadd132ss	%xmm14, %xmm0, %xmm3
	vmulss	%xmm3, %xmm15, %xmm12
	vsubss	%xmm17, %xmm12, %xmm3
	vsubss	%xmm12, %xmm19, %xmm4
	vminss	%xmm3, %xmm4, %xmm3
	vaddss	%xmm10, %xmm3, %xmm16
	vucomiss	%xmm11, %xmm16
	vxorps	%xmm13, %xmm13, %xmm13
	jbe	.LBB3_53
	vucomiss	%xmm16, %xmm9
	vmovaps	%xmm16, %xmm13
	ja	.LBB3_53
	vmovaps	%xmm9, %xmm13
.LBB3_53:
	vfmadd132ss	(%rbx), %xmm1, %xmm14
	vmulss	%xmm15, %xmm14, %xmm14
	vsubss	%xmm18, %xmm14, %xmm3
	vsubss	%xmm14, %xmm20, %xmm4
	vminss	%xmm3, %xmm4, %xmm3
	vaddss	%xmm10, %xmm3, %xmm16
	vxorps	%xmm15, %xmm15, %xmm15
	vucomiss	%xmm15, %xmm16
	jbe	.LBB3_54
	vucomiss	%xmm16, %xmm9
	vmovaps	%xmm16, %xmm15
	ja	.LBB3_54
	vmovaps	%xmm9, %xmm15
	jmp	.LBB3_54
.Lfunc_end3:
	.size	_ZN5xbind7kernels11cpu_augment10_trace_rowB2v2B106c8tJTIeFIjxB2IKSgI4CrvSCKg1MMbCQQPKkLTj8gEEF9aYtuj_2br1ZPz80qKEpNL1HUU1IuASas4PxnEzCuuUq_2fVBEZAEcQiTQA_3dExx5ArrayIfLi2E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE, .Lfunc_end3-_ZN5xbind7kernels11cpu_augment10_trace_rowB2v2B106c8tJTIeFIjxB2IKSgI4CrvSCKg1MMbCQQPKkLTj8gEEF9aYtuj_2br1ZPz80qKEpNL1HUU1IuASas4PxnEzCuuUq_2fVBEZAEcQiTQA_3dExx5ArrayIfLi2E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE
	.cfi_endproc

	.weak	NRT_incref
	.p2align	4
	.type	NRT_incref,@function
NRT_incref:
	testq	%rdi, %rdi
	je	.LBB4_2
	lock		incq	(%rdi)
.LBB4_2:
	retq
.Lfunc_end4:
	.size	NRT_incref, .Lfunc_end4-NRT_incref

	.weak	NRT_decref
	.p2align	4
	.type	NRT_decref,@function
NRT_decref:
	.cfi_startproc
	testq	%rdi, %rdi
	je	.LBB5_2
	#MEMBARRIER
	lock		decq	(%rdi)
	je	.LBB5_3
.LBB5_2:
	retq
.LBB5_3:
	#MEMBARRIER
	movabsq	$NRT_MemInfo_call_dtor, %rax
	jmpq	*%rax
.Lfunc_end5:
	.size	NRT_decref, .Lfunc_end5-NRT_decref
	.cfi_endproc

	.type	.const.trace_only,@object
	.section	.lrodata,"al",@progbits
.const.trace_only:
	.asciz	"trace_only"
	.size	.const.trace_only, 11

	.type	_ZN08NumbaEnv8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE,@object
	.comm	_ZN08NumbaEnv8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE,8,8
	.type	".const.missing Environment: _ZN08NumbaEnv8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE",@object
	.p2align	4, 0x0
".const.missing Environment: _ZN08NumbaEnv8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE":
	.asciz	"missing Environment: _ZN08NumbaEnv8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE"
	.size	".const.missing Environment: _ZN08NumbaEnv8__main__10trace_onlyB2v1B104c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDuwhmLFI6A4toAgA_3dE5ArrayIfLi3E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedExxx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE", 296

	.type	".const.can't unbox array from PyObject into native value.  The object maybe of a different type",@object
	.p2align	4, 0x0
".const.can't unbox array from PyObject into native value.  The object maybe of a different type":
	.asciz	"can't unbox array from PyObject into native value.  The object maybe of a different type"
	.size	".const.can't unbox array from PyObject into native value.  The object maybe of a different type", 89

	.type	".const.Error creating Python tuple from runtime exception arguments",@object
	.p2align	4, 0x0
".const.Error creating Python tuple from runtime exception arguments":
	.asciz	"Error creating Python tuple from runtime exception arguments"
	.size	".const.Error creating Python tuple from runtime exception arguments", 61

	.type	".const.unknown error when calling native function",@object
	.p2align	4, 0x0
".const.unknown error when calling native function":
	.asciz	"unknown error when calling native function"
	.size	".const.unknown error when calling native function", 43

	.type	".const.Error creating Python tuple from runtime exception arguments.1",@object
	.p2align	4, 0x0
".const.Error creating Python tuple from runtime exception arguments.1":
	.asciz	"Error creating Python tuple from runtime exception arguments"
	.size	".const.Error creating Python tuple from runtime exception arguments.1", 61

	.type	".const.unknown error when calling native function.2",@object
	.p2align	4, 0x0
".const.unknown error when calling native function.2":
	.asciz	"unknown error when calling native function"
	.size	".const.unknown error when calling native function.2", 43

	.type	".const.<numba.core.cpu.CPUContext>",@object
	.p2align	4, 0x0
".const.<numba.core.cpu.CPUContext>":
	.asciz	"<numba.core.cpu.CPUContext>"
	.size	".const.<numba.core.cpu.CPUContext>", 28

	.type	_ZN08NumbaEnv5xbind7kernels11cpu_augment10_trace_rowB2v2B106c8tJTIeFIjxB2IKSgI4CrvSCKg1MMbCQQPKkLTj8gEEF9aYtuj_2br1ZPz80qKEpNL1HUU1IuASas4PxnEzCuuUq_2fVBEZAEcQiTQA_3dExx5ArrayIfLi2E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE,@object
	.comm	_ZN08NumbaEnv5xbind7kernels11cpu_augment10_trace_rowB2v2B106c8tJTIeFIjxB2IKSgI4CrvSCKg1MMbCQQPKkLTj8gEEF9aYtuj_2br1ZPz80qKEpNL1HUU1IuASas4PxnEzCuuUq_2fVBEZAEcQiTQA_3dExx5ArrayIfLi2E1C7mutable7alignedE5ArrayIfLi1E1C7mutable7alignedExx5ArrayIjLi1E1C7mutable7alignedE5ArrayIfLi2E1C7mutable7alignedE,8,8
	.type	_ZN08NumbaEnv5numba7cpython8builtins6ol_max12_3clocals_3e4implB2v7B102c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDGyNBQG0BBiiYpQkAE15StarArgUniTupleIxLi2EE,@object
	.comm	_ZN08NumbaEnv5numba7cpython8builtins6ol_max12_3clocals_3e4implB2v7B102c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDGyNBQG0BBiiYpQkAE15StarArgUniTupleIxLi2EE,8,8
	.type	_ZN08NumbaEnv5numba7cpython8builtins6ol_min12_3clocals_3e4implB2v8B102c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDGyNBQG0BBiiYpQkAE15StarArgUniTupleIfLi2EE,@object
	.comm	_ZN08NumbaEnv5numba7cpython8builtins6ol_min12_3clocals_3e4implB2v8B102c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDGyNBQG0BBiiYpQkAE15StarArgUniTupleIfLi2EE,8,8
	.type	_ZN08NumbaEnv5numba7cpython8builtins6ol_min12_3clocals_3e4implB2v9B102c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDGyNBQG0BBiiYpQkAE15StarArgUniTupleIiLi2EE,@object
	.comm	_ZN08NumbaEnv5numba7cpython8builtins6ol_min12_3clocals_3e4implB2v9B102c8tJTIeFIjxB2IKSgI4CrvQCk0Z4yRYcWsCAgXrKFt1X1erJ_2bXklRYnJJeo6CupFwIRUnJ8MYuYVV6nXagKDGyNBQG0BBiiYpQkAE15StarArgUniTupleIiLi2EE,8,8
	.section	".note.GNU-stack","",@progbits
